import { parentPort, workerData } from 'node:worker_threads';
import type {
  TokenizerReply,
  TokenizerRequest,
  TokenizerWorkerData,
} from '../../pipeline/text/tokenizer-worker.ts';
import { createTokenizer } from '../../pipeline/text/wordpiece.ts';

/** A tokenizer worker that does what the first document of a chunk says, and else its work. */
const port = parentPort!;
const tokenizer = createTokenizer((workerData as TokenizerWorkerData).spec);
const ready: TokenizerReply = { isReady: true };
port.postMessage(ready);

port.on('message', ({ sequence, text, ends }: TokenizerRequest) => {
  const order = new TextDecoder().decode(text.subarray(0, ends[0]));
  if (order === 'exit') process.exit(3);
  if (order === 'throw') throw new Error('thrown in the worker');
  if (order === 'sleep') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  while (order === 'spin');
  const reply: TokenizerReply =
    order === 'refuse'
      ? { sequence, error: 'refused by the worker' }
      : { sequence, result: tokenizer.encodeDocuments(text, ends) };
  port.postMessage(reply);
});
