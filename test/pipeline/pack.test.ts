import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Admission, Packer, type PackOptions, type PackPosition } from '../../pipeline/pack.ts';
import type { PrepareCursor, Split } from '../../pipeline/shards/manifest.ts';
import { validationRule, type ValidationSettings } from '../../pipeline/validation.ts';
import { chunkOf, documentHash, framed, rowsOf, type TestDocument } from '../support/documents.ts';

const specialTokenIds = { pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 };

type TestOptions = PackOptions & ValidationSettings;

function optionsOf(options: Partial<TestOptions>): TestOptions {
  return {
    maxSeqLen: 8,
    packing: 'concat',
    rowsPerGroup: 2,
    validation: 0.3,
    seed: 1,
    specialTokenIds,
    ...options,
  };
}

/** All rows of both splits: what one packer makes of the chunks, ending with `remainder`. */
function packAll(
  chunks: readonly (readonly TestDocument[])[],
  options: TestOptions,
  remainder: 'pad' | 'drop' = 'pad',
): Record<Split, number[][]> {
  const packer = new Packer(options);
  const rows: Record<Split, number[][]> = { train: [], validation: [] };
  for (const chunk of chunks) {
    for (const group of packer.pack(chunkOf(chunk, options))) rows[group.split].push(...rowsOf(group));
  }
  for (const split of ['train', 'validation'] as const) {
    const { group } = packer.finish(split, remainder);
    if (group !== undefined) rows[split].push(...rowsOf(group));
  }
  return rows;
}

function splitOf(documents: readonly TestDocument[], split: Split, options: TestOptions): TestDocument[] {
  return documents.filter((ids) => {
    const [low, high] = documentHash(ids);
    return validationRule(options)(low, high) === (split === 'validation');
  });
}

const aDocument = fc.array(fc.integer({ min: 5, max: 999 }), { maxLength: 40 });
const someDocuments = fc.array(aDocument, { maxLength: 25 });
const someOptions = fc.record({
  maxSeqLen: fc.integer({ min: 3, max: 12 }),
  rowsPerGroup: fc.integer({ min: 1, max: 4 }),
  packing: fc.constantFrom('concat' as const, 'documents' as const),
  validation: fc.constantFrom(0, 0.2, 0.5),
  seed: fc.nat(),
});

/** The documents, cut into chunks at random places. */
const someChunks = fc.tuple(someDocuments, fc.array(fc.nat(), { maxLength: 6 })).map(([documents, cuts]) => {
  const borders = [0, ...cuts.map((cut) => cut % (documents.length + 1)), documents.length].sort(
    (a, b) => a - b,
  );
  return borders.slice(1).map((border, index) => documents.slice(borders[index], border));
});

describe('concat', () => {
  it('emits every token once and in order, per split', () => {
    fc.assert(
      fc.property(someChunks, someOptions, (chunks, given) => {
        const options = optionsOf({ ...given, packing: 'concat' });
        const rows = packAll(chunks, options);
        for (const split of ['train', 'validation'] as const) {
          const wanted = splitOf(chunks.flat(), split, options).flatMap(framed);
          const got = rows[split].flat();
          expect(got.slice(0, wanted.length)).toEqual(wanted);
          expect(got.length).toBe(Math.ceil(wanted.length / options.maxSeqLen) * options.maxSeqLen);
          expect(got.slice(wanted.length).every((id) => id === specialTokenIds.pad)).toBe(true);
        }
      }),
    );
  });

  it('drops or pads nothing but the last row, and counts it', () => {
    const options = optionsOf({ validation: 0 });
    const documents = [
      [10, 11, 12, 13, 14],
      [20, 21],
    ];
    expect(packAll([documents], options).train).toEqual([
      [2, 10, 11, 12, 13, 14, 3, 2],
      [20, 21, 3, 0, 0, 0, 0, 0],
    ]);
    expect(packAll([documents], options, 'drop').train).toEqual([[2, 10, 11, 12, 13, 14, 3, 2]]);

    const packer = new Packer(options);
    Array.from(packer.pack(chunkOf(documents)));
    const padded = new Packer(options, packer.carry).finish('train', 'pad');
    expect(padded).toMatchObject({ dropped: 0, group: { rows: 1, tokens: 3 } });
    expect(packer.finish('train', 'drop')).toMatchObject({ dropped: 3 });
  });

  it('leaves out documents without a token and takes one that ends a row exactly', () => {
    const options = optionsOf({ validation: 0 });
    expect(packAll([[[], [5, 6, 7, 8, 9, 10], [], []]], options).train).toEqual([[2, 5, 6, 7, 8, 9, 10, 3]]);
  });

  it('makes nothing of nothing', () => {
    expect(packAll([], optionsOf({}))).toEqual({ train: [], validation: [] });
    expect(packAll([[]], optionsOf({}), 'drop')).toEqual({ train: [], validation: [] });
  });
});

describe('documents', () => {
  it('keeps documents apart and every token once and in order', () => {
    fc.assert(
      fc.property(someChunks, someOptions, (chunks, given) => {
        const options = optionsOf({ ...given, packing: 'documents' });
        const rows = packAll(chunks, options);
        for (const split of ['train', 'validation'] as const) {
          const room = options.maxSeqLen - 2;
          const wanted = splitOf(chunks.flat(), split, options).flatMap((ids) =>
            Array.from({ length: Math.ceil(ids.length / room) }, (_, piece) => {
              const row = [2, ...ids.slice(piece * room, (piece + 1) * room), 3];
              return [...row, ...new Array<number>(options.maxSeqLen - row.length).fill(0)];
            }),
          );
          expect(rows[split]).toEqual(wanted);
        }
      }),
    );
  });

  it('counts padding', () => {
    const packer = new Packer(optionsOf({ packing: 'documents', validation: 0 }));
    const groups = [
      ...packer.pack(
        chunkOf([
          [5, 6],
          [5, 6, 7, 8, 9, 10, 11],
        ]),
      ),
    ];
    expect(groups.map(({ rows, tokens }) => ({ rows, tokens }))).toEqual([{ rows: 2, tokens: 12 }]);
    expect(packer.takeRows('train')).toMatchObject({ rows: 1, tokens: 3 });
  });
});

describe('both', () => {
  it('makes the same rows however the documents are distributed over chunks', () => {
    fc.assert(
      fc.property(someChunks, someOptions, (chunks, given) => {
        const options = optionsOf(given);
        expect(packAll(chunks, options)).toEqual(packAll([chunks.flat()], options));
      }),
    );
  });

  it('goes on from every group, through JSON, with the same rows', () => {
    let restarts = 0;
    fc.assert(
      fc.property(someChunks, someOptions, (chunks, given) => {
        const options = optionsOf(given);
        const whole = packAll(chunks, options);
        const done: Record<Split, number[][]> = { train: [], validation: [] };
        const packer = new Packer(options);
        for (const [index, chunk] of chunks.entries()) {
          for (const group of packer.pack(chunkOf(chunk, options))) {
            done[group.split].push(...rowsOf(group));
            // As at a commit: what validation has gathered goes out, the begun rows are carried.
            for (const split of ['train', 'validation'] as const) {
              const gathered = packer.takeRows(split);
              if (gathered !== undefined) done[split].push(...rowsOf(gathered));
            }
            const state = JSON.parse(JSON.stringify({ at: packer.position, carry: packer.carry })) as {
              at: PackPosition;
              carry: PrepareCursor['carry'];
            };
            const tail = packTail(chunks.slice(index), state.at, state.carry, options);
            for (const split of ['train', 'validation'] as const) {
              expect([...done[split], ...tail[split]]).toEqual(whole[split]);
            }
            restarts += 1;
          }
        }
      }),
    );
    expect(restarts).toBeGreaterThan(100);
  });

  it('changes no other document when one is changed', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 2, maxLength: 25 });
    // Ids of document d are from 1000 * (d + 1) on, so that rows tell whose they are.
    const documentOf = (length: number, index: number): TestDocument =>
      Array.from({ length }, (_, place) => 1000 * (index + 1) + place);
    fc.assert(
      fc.property(lengths, someOptions, fc.nat(), aDocument, (sizes, given, at, other) => {
        const options = optionsOf(given);
        const index = at % sizes.length;
        const documents = sizes.map(documentOf);
        const isOthers = (id: number): boolean => id >= 1000 && Math.floor(id / 1000) !== index + 1;
        const before = packAll([documents], options);
        const after = packAll([documents.with(index, other)], options);
        for (const split of ['train', 'validation'] as const) {
          expect(after[split].flat().filter(isOthers)).toEqual(before[split].flat().filter(isOthers));
          if (options.packing === 'documents') {
            const othersRows = (rows: number[][]) => rows.filter((row) => row.some(isOthers));
            expect(othersRows(after[split])).toEqual(othersRows(before[split]));
          }
        }
        const others = documents.flat().filter(isOthers).length;
        expect([...before.train, ...before.validation].flat().filter(isOthers)).toHaveLength(others);
      }),
    );
  });
});

describe('with documents that are left out', () => {
  it('makes the rows of the others, asks of each once and in order, and goes on from every group', () => {
    // Seven different documents are possible.
    const few = fc.array(fc.array(fc.integer({ min: 5, max: 6 }), { maxLength: 2 }), {
      minLength: 10,
      maxLength: 40,
    });
    let numDuplicates = 0;
    fc.assert(
      fc.property(few, someOptions, (documents, given) => {
        const options = optionsOf(given);
        const chunk = chunkOf(documents, { ...options, hasHashes: true });
        const seen = new Set<string>();
        const asked: number[] = [];
        const admit: Admission = (hashes, index, numTokens) => {
          asked.push(index);
          expect(numTokens).toBe(documents[index]!.length);
          const key = hashes.subarray(4 * index, 4 * index + 4).join();
          const isNew = !seen.has(key);
          seen.add(key);
          return isNew;
        };
        const firsts = documents.filter(
          (ids, place) => documents.findIndex((other) => other.join() === ids.join()) === place,
        );
        numDuplicates += documents.length - firsts.length;
        const wanted = packAll([firsts], options);
        const packer = new Packer(options, undefined, admit);
        const rows: Record<Split, number[][]> = { train: [], validation: [] };
        for (const group of packer.pack(chunk)) {
          rows[group.split].push(...rowsOf(group));
          // What lies behind the place to go on from has not been asked of.
          expect(asked.at(-1)).toBeLessThan(packer.position.document + (packer.position.token > 0 ? 1 : 0));
          const rest = new Packer(options, packer.carry, () => true);
          expect(() => [...rest.pack(chunk, packer.position)]).not.toThrow();
        }
        expect(asked).toEqual(documents.map((_, index) => index));
        for (const split of ['train', 'validation'] as const) {
          const { group } = packer.finish(split, 'pad');
          if (group !== undefined) rows[split].push(...rowsOf(group));
        }
        expect(rows).toEqual(wanted);
      }),
    );
    expect(numDuplicates).toBeGreaterThan(100);
  });

  it('refuses documents that bring no hashes', () => {
    const packer = new Packer(optionsOf({}), undefined, () => true);
    expect(() => [...packer.pack(chunkOf([[5]]))]).toThrow('documents without hashes cannot be compared');
  });
});

it('makes the same rows wherever the ids lie in shared memory', () => {
  const lengths = fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(lengths, fc.nat(3), fc.integer({ min: 3, max: 90 }), (sizes, lead, maxSeqLen) => {
      const documents = sizes.map((size, index) =>
        Array.from({ length: size }, (_, place) => 1000 * index + place),
      );
      const options = optionsOf({ maxSeqLen, rowsPerGroup: 3, validation: 0.2 });
      const chunk = chunkOf(documents, options);
      const ids = new Int32Array(new SharedArrayBuffer(4 * (lead + chunk.ids.length)), 4 * lead);
      ids.set(chunk.ids);
      const groupsOf = (part: typeof chunk) => [...new Packer(options).pack(part)];
      expect(groupsOf({ ...chunk, ids })).toEqual(groupsOf(chunk));
    }),
  );
});

describe('the place to go on from', () => {
  it.each([
    ['within a document', [[5, 6, 7, 8, 9, 10, 11, 12]], { document: 0, token: 8 }],
    ['in front of [SEP]', [[5, 6, 7, 8, 9, 10, 11]], { document: 0, token: 8 }],
    ['behind [SEP]', [[5, 6, 7, 8, 9, 10], [5]], { document: 1, token: 0 }],
    [
      'behind [SEP], with documents without a token behind it',
      [[5, 6, 7, 8, 9, 10], [], [], [5]],
      { document: 1, token: 0 },
    ],
    ['behind [CLS]', [[], [5, 6, 7, 8, 9], [7, 8]], { document: 2, token: 1 }],
    ['in a later document of a run', [[5], [], [5, 6], [7, 8]], { document: 3, token: 1 }],
  ])('%s', (_, documents, position) => {
    const packer = new Packer(optionsOf({ rowsPerGroup: 1 }));
    const groups = packer.pack(chunkOf(documents));
    expect(groups.next().value).toMatchObject({ rows: 1, tokens: 8 });
    expect(packer.position).toEqual(position);
  });
});

/** Rows of a packer that restarts at a place in the first chunk. */
function packTail(
  chunks: readonly (readonly TestDocument[])[],
  at: PackPosition,
  carry: PrepareCursor['carry'],
  options: TestOptions,
): Record<Split, number[][]> {
  const packer = new Packer(options, carry);
  const rows: Record<Split, number[][]> = { train: [], validation: [] };
  for (const [index, chunk] of chunks.entries()) {
    for (const group of packer.pack(chunkOf(chunk, options), index === 0 ? at : undefined)) {
      rows[group.split].push(...rowsOf(group));
    }
  }
  for (const split of ['train', 'validation'] as const) {
    const { group } = packer.finish(split, 'pad');
    if (group !== undefined) rows[split].push(...rowsOf(group));
  }
  return rows;
}

describe('validation share', () => {
  it('is kept within statistical bounds, follows the hash alone and changes with the seed', () => {
    const hashes = Array.from({ length: 20_000 }, (_, index) => documentHash([index]));
    const picks = (seed: number, validation: number): boolean[] =>
      hashes.map(([low, high]) => validationRule({ seed, validation })(low, high));
    const count = picks(42, 0.005).filter(Boolean).length;
    expect(count).toBeGreaterThan(100 - 45);
    expect(count).toBeLessThan(100 + 45);
    expect(picks(42, 0.005)).toEqual(picks(42, 0.005));
    expect(picks(43, 0.005)).not.toEqual(picks(42, 0.005));
    expect(picks(42, 0).some(Boolean)).toBe(false);
    expect(picks(42, 1).every(Boolean)).toBe(true);
    // A larger share keeps what a smaller one had.
    const [small, large] = [picks(42, 0.01), picks(42, 0.1)];
    expect(small.every((isPicked, index) => !isPicked || large[index])).toBe(true);
  });

  it('keeps to documents that earlier versions chose', () => {
    const chosen = Array.from({ length: 200 }, (_, index) => index).filter((index) => {
      const hash = BigInt(index) * 0x9e3779b97f4a7c15n;
      const low = Number(BigInt.asUintN(32, hash));
      const high = Number(BigInt.asUintN(32, hash >> 32n));
      return validationRule({ validation: 0.05, seed: 42 })(low, high);
    });
    expect(chosen).toEqual([6, 8, 14, 21, 33, 47, 79, 82, 139, 150, 158, 187, 197]);
  });
});
