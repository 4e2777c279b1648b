import pLimit from 'p-limit';

/**
 * Runs tasks ahead of their consumer and yields the results in order: at most `depth` are running or waiting to
 * be consumed. Leaving the loop early lets running tasks end; their results are dropped.
 * @param tasks started in order, each when there is room
 * @param depth at least 1
 */
export async function* prefetch<T>(tasks: Iterable<() => Promise<T>>, depth: number): AsyncGenerator<T> {
  const limit = pLimit(depth);
  const running: Promise<T>[] = [];
  const pending = tasks[Symbol.iterator]();
  const startNext = (): void => {
    const task = pending.next();
    if (task.done === true) return;
    const result = limit(task.value);
    // Awaited later, in order; until then a failure must not count as unhandled.
    result.catch(() => undefined);
    running.push(result);
  };
  for (let index = 0; index < depth; index++) startNext();
  for (let next = running.shift(); next !== undefined; next = running.shift()) {
    const value = await next;
    startNext();
    yield value;
  }
}
