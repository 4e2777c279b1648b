import { EMPTY, lastValueFrom, NEVER, type Observable, of, Subject, take, throwError, toArray } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { pullFrom } from '../../pipeline/backpressure.ts';

const tick = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const collect = <T>(items: Observable<T>): Promise<T[]> =>
  lastValueFrom(items.pipe(toArray()), { defaultValue: [] });
const fail = (error: unknown): never => {
  throw error;
};
const ticks = async (count: number): Promise<void> => {
  for (let i = 0; i < count; i += 1) await tick();
};

/** Counts up to `end`, remembering how far it was pulled and whether it was closed. */
function counter(end: number): {
  iterable: AsyncIterable<number>;
  state: { pulled: number; returned: number };
} {
  const state = { pulled: 0, returned: 0 };
  const iterable = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        await tick();
        if (state.pulled >= end) return { done: true as const, value: undefined };
        state.pulled += 1;
        return { done: false as const, value: state.pulled };
      },
      return: () => {
        state.returned += 1;
        return Promise.resolve({ done: true as const, value: undefined });
      },
    }),
  };
  return { iterable, state };
}

async function* failAfter(count: number): AsyncGenerator<number> {
  for (let i = 1; i <= count; i += 1) {
    await tick();
    yield i;
  }
  throw new Error('upstream broke');
}

describe('pullFrom', () => {
  it('completes at once on an empty iterable', async () => {
    const { iterable, state } = counter(0);
    expect(await collect(pullFrom(iterable, NEVER, 2))).toEqual([]);
    expect(state).toEqual({ pulled: 0, returned: 0 });
  });

  it('emits one item and completes without credit when the window has room to see the end', async () => {
    expect(await collect(pullFrom(counter(1).iterable, NEVER, 2))).toEqual([1]);
  });

  it('emits many items in order, one subscription independent of another', async () => {
    const source = { [Symbol.asyncIterator]: () => counter(100).iterable[Symbol.asyncIterator]() };
    for (let run = 0; run < 2; run += 1) {
      const credits = new Subject<number>();
      const seen: number[] = [];
      await new Promise<void>((resolve, reject) => {
        pullFrom(source, credits, 3).subscribe({
          next: (value) => {
            seen.push(value);
            credits.next(1);
          },
          error: reject,
          complete: resolve,
        });
      });
      expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
    }
  });

  it('passes an upstream error on, after the items before it', async () => {
    const seen: number[] = [];
    const error = await new Promise((resolve) => {
      pullFrom(failAfter(3), NEVER, 10).subscribe({ next: (value) => seen.push(value), error: resolve });
    });
    expect(seen).toEqual([1, 2, 3]);
    expect(error).toEqual(new Error('upstream broke'));
  });

  it('passes an error of the credits on and closes the iterator', async () => {
    const { iterable, state } = counter(10);
    const error = await new Promise((resolve) => {
      pullFrom(
        iterable,
        throwError(() => new Error('no more credit')),
        1,
      ).subscribe({ error: resolve });
    });
    expect(error).toEqual(new Error('no more credit'));
    await ticks(3);
    expect(state.returned).toBe(1);
    expect(state.pulled).toBeLessThanOrEqual(1);
  });

  it('goes on within its allowance after the credits completed', async () => {
    expect(await collect(pullFrom(counter(5).iterable, of(4), 2))).toHaveLength(5);
    const { iterable, state } = counter(5);
    const subscription = pullFrom(iterable, EMPTY, 2).subscribe({ error: fail });
    await ticks(20);
    expect(state.pulled).toBe(2);
    subscription.unsubscribe();
  });

  it('stops pulling and closes the iterator once when its consumer leaves', async () => {
    const { iterable, state } = counter(1000);
    expect(await collect(pullFrom(iterable, of(1000), 1).pipe(take(3)))).toEqual([1, 2, 3]);
    await ticks(10);
    expect(state.returned).toBe(1);
    expect(state.pulled).toBeLessThanOrEqual(4);
  });

  it('hears nothing of an iterator that fails after its consumer left', async () => {
    let emitted = 0;
    const subscription = pullFrom(failAfter(2), NEVER, 10).subscribe({
      next: () => {
        emitted += 1;
      },
      error: () => {
        throw new Error('must not arrive');
      },
    });
    subscription.unsubscribe();
    await ticks(10);
    expect(emitted).toBe(0);
  });

  it.each([0, -1, 1.5, Number.NaN])('refuses a window of %d', (window) => {
    expect(() => pullFrom(counter(1).iterable, NEVER, window)).toThrow(RangeError);
  });

  it.each([1, 4, 16])('stays within a window of %d items ahead of a slow consumer', async (window) => {
    const { iterable, state } = counter(200);
    const credits = new Subject<number>();
    const queue: number[] = [];
    let consumed = 0;
    let highWater = 0;
    const done = new Promise<void>((resolve, reject) => {
      pullFrom(iterable, credits, window).subscribe({
        next: (value) => queue.push(value),
        error: reject,
        complete: resolve,
      });
    });
    while (consumed < 200) {
      await ticks(window + 2);
      highWater = Math.max(highWater, state.pulled - consumed);
      expect(queue.shift()).toBe(consumed + 1);
      consumed += 1;
      credits.next(1);
    }
    await done;
    expect(highWater).toBe(window);
  });

  it('holds no more memory than its window with a slow consumer', async () => {
    const itemBytes = 4 << 20;
    const numItems = 200;
    async function* buffers(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < numItems; i += 1) {
        await tick();
        yield new Uint8Array(itemBytes).fill(i);
      }
    }
    const credits = new Subject<number>();
    const queue: Uint8Array[] = [];
    pullFrom(buffers(), credits, 4).subscribe({ next: (item) => queue.push(item), error: fail });
    const before = process.memoryUsage().arrayBuffers;
    let peakItems = 0;
    let consumed = 0;
    let peakBytes = 0;
    while (consumed < numItems) {
      await ticks(8);
      peakItems = Math.max(peakItems, queue.length);
      peakBytes = Math.max(peakBytes, process.memoryUsage().arrayBuffers - before);
      if (queue.shift() !== undefined) {
        consumed += 1;
        credits.next(1);
      }
    }
    expect(peakItems).toBeLessThanOrEqual(4);
    // Dropped buffers wait for a collection; all of them at once would be twice the bound.
    expect(peakBytes).toBeLessThan(100 * itemBytes);
  });

  it('leaks nothing over a thousand abandoned streams', () => {
    const credits = new Subject<number>();
    const returned: number[] = [];
    for (let i = 0; i < 1000; i += 1) {
      const { iterable, state } = counter(10);
      pullFrom(iterable, credits, 2).subscribe({ error: fail }).unsubscribe();
      returned.push(state.returned);
    }
    expect(returned.every((times) => times === 1)).toBe(true);
    expect(credits.observed).toBe(false);
  });
});
