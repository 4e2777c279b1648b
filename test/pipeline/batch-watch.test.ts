import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { aliveEveryMs, BatchWatch } from '../../pipeline/batch-watch.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const hangTimeoutMs = 1000;

function watching(prefetch: number): { readonly watch: BatchWatch; readonly said: string[] } {
  const said: string[] = [];
  return { said, watch: new BatchWatch({ hangTimeoutMs, prefetch, onHang: (what) => said.push(what) }) };
}

describe('BatchWatch', () => {
  it('grants a minute to start, and its patience after the first sign of life', () => {
    const { watch, said } = watching(1);
    vi.advanceTimersByTime(60_000);
    expect(said).toEqual([]);
    watch.hear(false);
    vi.advanceTimersByTime(1000);
    expect(said).toEqual([]);
    vi.advanceTimersByTime(100);
    expect(said).toEqual(['has not answered for 1 s']);
  });

  it('does not wait for ever for a thread that never starts', () => {
    const { said } = watching(1);
    vi.advanceTimersByTime(60_100);
    expect(said).toEqual(['has not answered for 60 s']);
  });

  it('is content with signs of life, but not for ever', () => {
    const { watch, said } = watching(1);
    for (let time = 0; time < 30_000; time += 100) {
      watch.hear(false);
      vi.advanceTimersByTime(aliveEveryMs(hangTimeoutMs));
    }
    expect(said).toEqual([]);
    watch.hear(false);
    vi.advanceTimersByTime(100);
    expect(said).toEqual(['has made no batch for 30 s']);
  });

  it('does not count waits that are announced, and of several at once the longest', () => {
    const { watch, said } = watching(1);
    const live = (ms: number): void => {
      for (let time = 0; time < ms; time += 100) {
        watch.hear(false);
        vi.advanceTimersByTime(100);
      }
    };
    live(10_000);
    for (const waitMs of [900_000, 850_000, 900_000]) watch.allow(waitMs);
    live(900_000 + 20_000);
    expect(said).toEqual([]);
    live(200);
    expect(said).toEqual(['has made no batch for 30 s']);
  });

  it('a thread that announced a wait still gives signs of life', () => {
    const { watch, said } = watching(1);
    watch.hear(false);
    watch.allow(900_000);
    vi.advanceTimersByTime(1100);
    expect(said).toEqual(['has not answered for 1 s']);
  });

  it('begins to count anew with each batch', () => {
    const { watch, said } = watching(100);
    for (let batch = 0; batch < 99; batch += 1) {
      vi.advanceTimersByTime(900);
      watch.hear(true);
    }
    expect(said).toEqual([]);
    vi.advanceTimersByTime(1100);
    expect(said).toEqual(['has not answered for 1 s']);
  });

  it('expects nothing of a thread that owes nothing, and everything of one that was asked', () => {
    const { watch, said } = watching(2);
    watch.hear(true);
    watch.hear(true);
    vi.advanceTimersByTime(3_600_000);
    expect(said).toEqual([]);
    watch.ask(1);
    vi.advanceTimersByTime(1000);
    expect(said).toEqual([]);
    vi.advanceTimersByTime(100);
    expect(said).toEqual(['has not answered for 1 s']);
  });

  it('says it once, and nothing after its end', () => {
    const { said } = watching(1);
    vi.advanceTimersByTime(600_000);
    expect(said).toHaveLength(1);
    const ended = watching(1);
    ended.watch.end();
    vi.advanceTimersByTime(600_000);
    expect(ended.said).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});
