import type { Observable } from 'rxjs';
import { pullFrom } from '../../pipeline/backpressure.ts';
import type { Batch, BatchCursor } from '../../pipeline/index.ts';
import { cursorOf } from './cursors.ts';

export interface NumberedBatchOptions {
  /** Ends with this error after so many batches. */
  readonly failAt?: { readonly count: number; readonly failure: Error };
}

/** An endless stream of batches of one token whose cursors count 1, 2, 3, …; two may run ahead of the credits. */
export function numberedBatches({ failAt }: NumberedBatchOptions = {}) {
  return (cursor: BatchCursor | undefined, credits$: Observable<number>): Observable<Batch> =>
    pullFrom(numbersAfter(cursor?.position ?? 0, failAt), credits$, 2);
}

async function* numbersAfter(
  begin: number,
  failAt: NumberedBatchOptions['failAt'],
): AsyncGenerator<Batch, never> {
  for (let position = begin + 1; ; position += 1) {
    if (failAt !== undefined && position > failAt.count) throw failAt.failure;
    yield await Promise.resolve({
      batchSize: 1,
      maxSeqLen: 1,
      inputIds: Int32Array.of(position),
      attentionMask: undefined,
      maskedPositions: Int32Array.of(0),
      maskedLabels: Int32Array.of(position),
      pairs: undefined,
      cursor: cursorOf(position),
    });
  }
}
