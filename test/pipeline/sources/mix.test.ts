import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Input, mixSources, openInput, pickSource } from '../../../pipeline/sources/mix.ts';
import type { Source, SourceChunk } from '../../../pipeline/sources/source.ts';
import type { DocumentChunk, InputCursor } from '../../../pipeline/types.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { documentsOf, rejectionOf, summariesOf } from '../../support/sources.ts';

/** A source whose chunks have given sizes; its documents say where they are from. */
function numbered(name: string, sizes: readonly number[], weight?: number): Source & { closed: number } {
  const totalBytes = sizes.reduce((sum, size) => sum + size, 0);
  const source = {
    closed: 0,
    identity: {
      spec: name,
      kind: 'file' as const,
      ...(weight === undefined ? {} : { weight }),
      files: sizes.map((sizeBytes, index) => ({ path: `${name}${index}`, sizeBytes, digest: '' })),
    },
    totalBytes,
    async *read(from: { file: number }): AsyncGenerator<SourceChunk> {
      try {
        for (let file = from.file; file < sizes.length; file++) {
          await Promise.resolve();
          const text = new Uint8Array(sizes[file]!).fill(name.charCodeAt(0));
          const inputBytes = sizes.slice(0, file + 1).reduce((sum, size) => sum + size, 0);
          const next = { file: file + 1, group: 0, row: 0 };
          const documents = { kind: 'text', text, ends: Uint32Array.of(text.length) } as const;
          yield { documents, textBytes: text.length, next, inputBytes };
        }
      } finally {
        source.closed += 1;
      }
    },
  };
  return source;
}

async function readAll(input: Input, from: InputCursor = input.start()): Promise<readonly DocumentChunk[]> {
  const chunks: DocumentChunk[] = [];
  for await (const chunk of input.read(from)) chunks.push(chunk);
  return chunks;
}

const sizesOf = fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 12 });

describe('mixSources', () => {
  test('without weights: in the stated order', async () => {
    const input = mixSources([numbered('b', [2, 3]), numbered('e', []), numbered('a', [4])]);
    expect((await readAll(input)).map(({ source }) => source)).toEqual([0, 0, 2]);
    expect(input.totalBytes).toBe(9);
    expect((await readAll(input)).map(({ inputBytes }) => inputBytes)).toEqual([2, 5, 4]);
  });

  test('with weights: bytes follow them while all last', async () => {
    const ones = Array.from({ length: 400 }, () => 10);
    const input = mixSources([numbered('a', ones, 3), numbered('b', ones, 1)]);
    const chunks = (await readAll(input)).slice(0, 200);
    expect(chunks.filter(({ source }) => source === 0).length).toBe(150);
    expect(chunks.slice(0, 5).map(({ source }) => source)).toEqual([0, 1, 0, 0, 0]);
  });

  test('everything once, each source in its own order, the same at every try and from every cursor', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(sizesOf, fc.integer({ min: 1, max: 9 })), { minLength: 1, maxLength: 4 }),
        fc.boolean(),
        async (specs, weighted) => {
          const input = mixSources(
            specs.map(([sizes, weight], i) => numbered('abcd'[i]!, sizes, weighted ? weight : undefined)),
          );
          const all = await readAll(input);
          for (const [index, [sizes]] of specs.entries()) {
            const own = all.filter(({ source }) => source === index);
            expect(own.map(({ textBytes }) => textBytes)).toEqual(sizes);
          }
          for (const [index, chunk] of all.entries()) {
            // As a manifest keeps it.
            const at = JSON.parse(JSON.stringify(chunk.at)) as InputCursor;
            expect(await readAll(input, at)).toEqual(all.slice(index));
            expect(await readAll(input, chunk.next)).toEqual(all.slice(index + 1));
          }
          const read = specs.map(
            (_, index) => all.findLast(({ source }) => source === index)?.inputBytes ?? 0,
          );
          expect(read.reduce((sum, bytes) => sum + bytes, 0)).toBe(input.totalBytes);
        },
      ),
      { numRuns: 60 },
    );
  });

  test('leaving early closes every source that was opened', async () => {
    const sources = [numbered('a', [1, 1, 1], 1), numbered('b', [1, 1, 1], 1)];
    let count = 0;
    for await (const chunk of mixSources(sources).read(mixSources(sources).start())) {
      expect(chunk.textBytes).toBe(1);
      count += 1;
      if (count === 3) break;
    }
    expect(sources.map(({ closed }) => closed)).toEqual([1, 1]);
  });

  test('a cursor of other sources is refused', async () => {
    const input = mixSources([numbered('a', [1])]);
    const error = await rejectionOf(readAll(input, mixSources([]).start()));
    expect(error).toMatchObject({
      code: 'mismatch',
      message: 'the cursor is of 0 sources, this run has 1; use the same --source flags',
    });
  });
});

test('pickSource: the first of those furthest behind', () => {
  expect(pickSource(new Set([0, 1, 2]), [10, 5, 5], [1, 1, 1])).toBe(1);
  expect(pickSource(new Set([0, 2]), [10, 0, 5], [4, 1, 1])).toBe(0);
  expect(pickSource(new Set([1, 2]), [0, 9, 0], [undefined, undefined, undefined])).toBe(1);
  expect(pickSource(new Set(), [0], [1])).toBeUndefined();
});

describe('openInput', () => {
  test('the sample: speeches, offline, in the order of the years', async () => {
    const input = await openInput(['sample'], {});
    expect(input.totalBytes).toBeGreaterThan(10_000_000);
    const chunks = await readAll(input);
    const speeches = documentsOf(chunks);
    expect(speeches.length).toBe(233);
    expect(speeches[0]!.toString('utf8')).toMatch(/^Fellow-Citizens of the Senate and House/);
    expect(input.identities[0]!.files[0]!.path).toBe('1790_george_washington_n.txt');
    const middle = chunks[chunks.length >> 1]!;
    const tail = summariesOf(await readAll(input, middle.at));
    expect(tail).toEqual(summariesOf(chunks.slice(chunks.length >> 1)));
  });

  test('several sources, with weights in their identities', async () => {
    const workingFolder = await temporaryFolder();
    await writeFile(join(workingFolder, 'a.txt'), 'one\ntwo\n');
    const input = await openInput(['2:file:a.txt', '1:file:a.txt#file'], { workingFolder });
    expect(input.identities.map(({ weight, column }) => [weight, column])).toEqual([
      [2, 'lines'],
      [1, 'file'],
    ]);
    expect(documentsOf(await readAll(input)).map(String)).toEqual(['one', 'two', 'one\ntwo\n']);
    expect(await rejectionOf(openInput([], {}))).toMatchObject({ code: 'bad-config' });
  });
});
