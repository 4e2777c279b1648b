import type { BatchOptions } from './batch-options.ts';
import type { ErrorMessage } from './errors.ts';
import type { WaitNotice } from './sources/source.ts';
import type { Batch } from './types.ts';

/** What the batch thread is started with. Credits, plain numbers, are the only messages to it. */
export interface BatchWorkerData {
  readonly options: Omit<BatchOptions, 'onWait'>;
  readonly prefetch: number;
  /** Time between two signs of life. */
  readonly aliveEveryMs: number;
}

/** What the batch thread sends. */
export type BatchMessage =
  | { readonly kind: 'batch'; readonly batch: Batch }
  /** The thread takes its turns, whatever it waits for. */
  | { readonly kind: 'alive' }
  /** It waits for the Hub, and for how long. */
  | { readonly kind: 'wait'; readonly notice: WaitNotice }
  | { readonly kind: 'error'; readonly error: ErrorMessage };
