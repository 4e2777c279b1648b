import { describe, expect, test } from 'vitest';
import { prefetch } from '../../../pipeline/sources/prefetch.ts';

/** Tasks that count how many run or wait to be consumed. */
function counted(count: number, failAt = -1) {
  const state = { started: 0, running: 0, mostRunning: 0 };
  const tasks = Array.from({ length: count }, (_, index) => async () => {
    state.started += 1;
    state.running += 1;
    state.mostRunning = Math.max(state.mostRunning, state.running);
    // Later tasks are quicker: order must not come from chance.
    await new Promise((resolve) => setTimeout(resolve, (count - index) % 7));
    state.running -= 1;
    if (index === failAt) throw new Error(`task ${index} failed`);
    return index;
  });
  return { state, tasks };
}

async function collect(tasks: Iterable<() => Promise<number>>, depth: number): Promise<readonly number[]> {
  const values: number[] = [];
  for await (const value of prefetch(tasks, depth)) values.push(value);
  return values;
}

describe('prefetch', () => {
  test.each([
    [0, 3],
    [1, 3],
    [40, 1],
    [40, 4],
    [3, 10],
  ])('%i tasks, %i at once: all in order', async (count, depth) => {
    const { state, tasks } = counted(count);
    expect(await collect(tasks, depth)).toEqual(Array.from({ length: count }, (_, index) => index));
    expect(state.mostRunning).toBeLessThanOrEqual(depth);
    expect(state.started).toBe(count);
  });

  test('a slow consumer holds it back', async () => {
    const { state, tasks } = counted(50);
    let consumed = 0;
    for await (const value of prefetch(tasks, 3)) {
      expect(value).toBe(consumed);
      consumed += 1;
      if (consumed <= 5) await new Promise((resolve) => setTimeout(resolve, 30));
      expect(state.started - consumed).toBeLessThanOrEqual(3);
    }
    expect(consumed).toBe(50);
  });

  test('an error comes in its turn, and nothing more is started', async () => {
    const { state, tasks } = counted(50, 5);
    const values: number[] = [];
    const reading = (async () => {
      for await (const value of prefetch(tasks, 3)) values.push(value);
    })();
    await expect(reading).rejects.toThrow('task 5 failed');
    expect(values).toEqual([0, 1, 2, 3, 4]);
    expect(state.started).toBeLessThanOrEqual(9);
  });

  test('leaving early starts nothing more', async () => {
    const { state, tasks } = counted(50);
    for await (const value of prefetch(tasks, 3)) if (value === 4) break;
    const started = state.started;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(state.started).toBe(started);
    expect(started).toBeLessThanOrEqual(8);
  });

  test('the error of a result nobody waits for is not unhandled', async () => {
    const { tasks } = counted(3, 2);
    for await (const value of prefetch(tasks, 3)) {
      expect(value).toBe(0);
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  });
});
