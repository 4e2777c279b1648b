import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { type PackInputOptions, packInput } from '../../pipeline/prepare-stream.ts';
import type { Input } from '../../pipeline/sources/mix.ts';
import { noStageTimes } from '../../pipeline/stage-times.ts';
import { createJobPool, tokenizerWindow } from '../../pipeline/workers/job-pool.ts';
import { createSpec, type TokenizerSpec } from '../../pipeline/text/vocabulary.ts';
import type { DocumentChunk } from '../../pipeline/types.ts';
import { filesBelow, temporaryFolder } from '../support/folders.ts';
import { cursorAt, manifestWith } from '../support/manifests.ts';
import { makeTexts } from '../support/texts.ts';

const tokenizer = createSpec({
  vocabulary: ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...'abcdefghijklmnopqrstuvwxyz'.split('')],
});
const settings = { ...manifestWith().settings, maxSeqLen: 16, rowsPerShard: 64, rowsPerGroup: 8 };

interface CountedInput extends Input {
  /** Chunks handed out so far. */
  readonly pulled: () => number;
  readonly isClosed: () => boolean;
}

/** An input of equal chunks that counts what is pulled; endless unless `chunks` is given. */
function countedInput({ chunks = Infinity, failAt = Infinity, textBytes = 2000 } = {}): CountedInput {
  let pulled = 0;
  let isClosed = false;
  const documents = makeTexts({ documents: Math.ceil(textBytes / 200) }).map((text) => Buffer.from(text));
  async function* read(): AsyncGenerator<DocumentChunk> {
    try {
      for (let index = 0; index < chunks; index += 1) {
        await Promise.resolve();
        if (index === failAt) throw new Error('the source broke');
        let end = 0;
        const ends = Uint32Array.from(documents, (bytes) => (end += bytes.length));
        const text = new Uint8Array(Buffer.concat(documents));
        pulled += 1;
        const [at, next] = [cursorAt(index).input, cursorAt(index + 1).input];
        const read = (index + 1) * end;
        const chunk = { kind: 'text', text, ends } as const;
        yield { documents: chunk, textBytes: end, source: 0, at, next, inputBytes: read };
      }
    } finally {
      isClosed = true;
    }
  }
  return {
    identities: [],
    totalBytes: 0,
    start: () => cursorAt(0).input,
    read,
    pulled: () => pulled,
    isClosed: () => isClosed,
  };
}

interface TestOptions extends Partial<PackInputOptions> {
  readonly workers?: number;
  readonly spec?: TokenizerSpec;
}

async function optionsFor(
  input: Input,
  { workers = 0, spec = tokenizer, ...changes }: TestOptions = {},
): Promise<PackInputOptions> {
  return {
    folder: await temporaryFolder(),
    settings,
    pool: createJobPool({ spec, settings, workers }),
    specialTokenIds: spec.specialTokenIds,
    start: cursorAt(0),
    nextShard: { train: 0, validation: 0 },
    input,
    times: noStageTimes(),
    signal: new AbortController().signal,
    onCommit: () => 'go on',
    onProgress: () => undefined,
    ...changes,
  };
}

describe('the composed stream', () => {
  it.each([0, 1, 2])(
    'with %i workers never runs ahead of a slow disk by more than its window',
    async (workers) => {
      const input = countedInput();
      const abort = new AbortController();
      let packed = 0;
      let commits = 0;
      let highWater = 0;
      const options = await optionsFor(input, {
        workers,
        signal: abort.signal,
        onCommit: async (): Promise<'go on'> => {
          // The slow consumer: everything upstream has time to run ahead.
          await delay(20);
          highWater = Math.max(highWater, input.pulled() - packed);
          commits += 1;
          if (commits === 15) abort.abort();
          return 'go on';
        },
        onProgress: () => {
          packed += 1;
        },
      });
      await packInput(options);
      expect(commits).toBe(15);
      expect(packed).toBeGreaterThan(10);
      expect(highWater).toBeGreaterThan(1);
      expect(highWater).toBeLessThanOrEqual(tokenizerWindow(workers) + 1);
      expect(input.isClosed()).toBe(true);
    },
  );

  it('keeps memory flat however much flows through a slow consumer', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const input = countedInput({ chunks: 200, textBytes: 200_000 });
    const used: number[] = [];
    const options = await optionsFor(input, {
      // Whole words are unknown to it: the test is about memory, not about tokens.
      spec: createSpec({ vocabulary: ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] }),
      settings: { ...settings, maxSeqLen: 128, rowsPerShard: 2048, rowsPerGroup: 256 },
      onCommit: async (): Promise<'go on'> => {
        await delay(20);
        collectGarbage();
        const { heapUsed, arrayBuffers } = process.memoryUsage();
        used.push(heapUsed + arrayBuffers);
        return 'go on';
      },
    });
    await packInput(options);
    expect(input.pulled()).toBe(200);
    expect(used.length).toBeGreaterThan(10);
    // 40 MB of text went through; what is held does not grow with it.
    const [early, late] = [used.slice(1, 4), used.slice(-3)].map((part) => Math.max(...part));
    expect(late! - early!).toBeLessThan(8e6);
  });

  it('ends with what is left when the input ends, and once', async () => {
    const ends: boolean[] = [];
    const input = countedInput({ chunks: 7 });
    await packInput(
      await optionsFor(input, {
        onCommit: (_commit, isLast) => {
          ends.push(isLast);
          return 'go on';
        },
      }),
    );
    expect(ends.filter(Boolean)).toEqual([true]);
    expect(ends.at(-1)).toBe(true);
    expect(input.isClosed()).toBe(true);
  });

  it('commits an end even of nothing', async () => {
    const shards: number[] = [];
    const onCommit: PackInputOptions['onCommit'] = (commit, isLast) => {
      expect(isLast).toBe(true);
      shards.push(commit.shards.length);
      return 'go on';
    };
    await packInput(await optionsFor(countedInput({ chunks: 0 }), { onCommit }));
    expect(shards).toEqual([0]);
  });

  it('fills the next shard while a commit is noted, and gives it its name only then', async () => {
    const known: string[] = [];
    let commits = 0;
    let folder = '';
    const names = async (): Promise<string[]> => [...(await filesBelow(folder)).keys()];
    const options = await optionsFor(countedInput({ chunks: 60 }), {
      onCommit: async (commit, isLast): Promise<'go on'> => {
        known.push(...commit.shards.map(({ file }) => file));
        commits += 1;
        const next = `train/.tmp-${String(commits).padStart(5, '0')}.parquet`;
        // Far more time than it takes to fill several shards.
        for (let look = 0; look < 200 && !isLast && !(await names()).includes(next); look += 1)
          await delay(10);
        if (!isLast) await delay(50);
        const files = await names();
        if (!isLast) expect(files).toContain(next);
        expect(files.filter((name) => !name.includes('.tmp-')).sort()).toEqual(known.toSorted());
        return 'go on';
      },
    });
    folder = options.folder;
    await packInput(options);
    expect(commits).toBeGreaterThan(5);
  });

  it('passes on what the source throws, and leaves no temporary file', async () => {
    const input = countedInput({ failAt: 40 });
    const options = await optionsFor(input);
    await expect(packInput(options)).rejects.toThrow('the source broke');
    const files = [...(await filesBelow(options.folder)).keys()];
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((name) => name.includes('.tmp-'))).toEqual([]);
  });

  it('passes on what the consumer throws, closes the source and leaves no temporary file', async () => {
    const input = countedInput();
    const options = await optionsFor(input, {
      onCommit: () => Promise.reject(new Error('the manifest cannot be written')),
    });
    await expect(packInput(options)).rejects.toThrow('the manifest cannot be written');
    await delay(10);
    expect(input.isClosed()).toBe(true);
    expect([...(await filesBelow(options.folder)).keys()].filter((name) => name.includes('.tmp-'))).toEqual(
      [],
    );
  });

  it('stops when the consumer has enough, with nothing that it was not told of', async () => {
    const told: string[][] = [];
    const options = await optionsFor(countedInput(), {
      onCommit: async ({ shards }): Promise<'stop'> => {
        // Time in which the next shards become full.
        await delay(100);
        told.push(shards.map(({ file }) => file));
        return 'stop';
      },
    });
    await packInput(options);
    expect(told.length).toBe(1);
    expect([...(await filesBelow(options.folder)).keys()].sort()).toEqual(told[0]!.toSorted());
  });

  it('reads nothing when it is stopped before it begins', async () => {
    const input = countedInput();
    const abort = new AbortController();
    abort.abort();
    await packInput(await optionsFor(input, { signal: abort.signal }));
    expect(input.pulled()).toBe(0);
  });
});
