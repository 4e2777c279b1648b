import { concatMap, EMPTY, lastValueFrom, Subject, take, toArray } from 'rxjs';
import type { BatchOptions } from '../../pipeline/batch-options.ts';
import { batches } from '../../pipeline/batches.ts';
import type { Batch } from '../../pipeline/types.ts';

/** The first `count` batches of a stream, each consumed at once. In the calling thread unless options say so. */
export async function takeBatches(options: BatchOptions, count: number): Promise<Batch[]> {
  const credits$ = new Subject<number>();
  const consumed$ = batches({ worker: false, ...options }, credits$).pipe(
    take(count),
    concatMap((batch) => {
      credits$.next(1);
      return [batch];
    }),
    toArray(),
  );
  return lastValueFrom(count === 0 ? EMPTY : consumed$, { defaultValue: [] });
}
