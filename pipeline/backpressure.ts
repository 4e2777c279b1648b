import { Observable } from 'rxjs';

/**
 * The only queue between a producer and a consumer: emits the items of an async iterable, at most `window`
 * ahead of the credits that the consumer has returned (with `costOf`, until what is ahead costs as much). RxJS itself has no backpressure (`from(iterable)` pulls
 * as fast as the iterable yields), so every stream here begins with this operator, and everything behind it is
 * bounded by construction.
 *
 * One item is pulled at a time. Unsubscribing stops the pulling and calls the iterator's `return()`.
 *
 * @param iterable where items come from; iterated once for each subscription
 * @param credits$ each emission `n` says that `n` items, or items that cost `n`, have been consumed
 * @param window how many items may be in flight without credit, at least 1
 * @param costOf how many items of the window an item counts for, at least 1; one that costs more than there is left
 *   is pulled all the same, and nothing behind it
 */
export function pullFrom<T>(
  iterable: AsyncIterable<T>,
  credits$: Observable<number>,
  window: number,
  costOf: (item: T) => number = () => 1,
): Observable<T> {
  if (!Number.isInteger(window) || window < 1) {
    throw new RangeError(`window is ${window}, expected a whole number of at least 1`);
  }
  return new Observable<T>((subscriber) => {
    const iterator = iterable[Symbol.asyncIterator]();
    let allowance = window;
    let pulling = false;
    let finished = false;

    const pump = async (): Promise<void> => {
      if (pulling) return;
      pulling = true;
      try {
        while (allowance > 0 && !subscriber.closed) {
          const result = await iterator.next();
          if (result.done === true) {
            finished = true;
            subscriber.complete();
            return;
          }
          allowance -= costOf(result.value);
          subscriber.next(result.value);
        }
      } catch (error) {
        finished = true;
        subscriber.error(error);
      } finally {
        pulling = false;
      }
    };

    const creditsSubscription = credits$.subscribe({
      next: (count) => {
        allowance += count;
        void pump();
      },
      error: (error: unknown) => {
        subscriber.error(error);
      },
    });
    void pump();

    return () => {
      creditsSubscription.unsubscribe();
      if (!finished) {
        finished = true;
        // A generator that is waiting for I/O ends when that I/O does; nobody is left to hear an error.
        iterator.return?.().then(undefined, () => undefined);
      }
    };
  });
}
