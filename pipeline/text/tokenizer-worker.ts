import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../errors.ts';
import type { TokenizerSpec } from './vocabulary.ts';
import { createTokenizer, type TokenizedDocuments } from './wordpiece.ts';

/** What a worker is started with. */
export interface TokenizerWorkerData {
  readonly spec: TokenizerSpec;
}

/** Documents to tokenize, moved to the worker. */
export interface TokenizerRequest {
  readonly sequence: number;
  readonly text: Uint8Array<ArrayBuffer>;
  readonly ends: Uint32Array<ArrayBuffer>;
}

export type TokenizerReply =
  | { readonly isReady: true }
  | { readonly sequence: number; readonly result: TokenizedDocuments }
  | { readonly sequence: number; readonly error: string };

if (parentPort !== null) {
  const port = parentPort;
  const { spec } = workerData as TokenizerWorkerData;
  const tokenizer = createTokenizer(spec);
  const ready: TokenizerReply = { isReady: true };
  port.postMessage(ready);
  port.on('message', ({ sequence, text, ends }: TokenizerRequest) => {
    try {
      const result = tokenizer.encodeDocuments(text, ends);
      const reply: TokenizerReply = { sequence, result };
      port.postMessage(reply, [result.ids.buffer, result.ends.buffer, result.hashes.buffer]);
    } catch (error) {
      const reply: TokenizerReply = { sequence, error: messageOf(error) };
      port.postMessage(reply);
    }
  });
}
