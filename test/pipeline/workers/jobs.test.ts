import { describe, expect, it } from 'vitest';
import { openParquet, readParquetFiles } from '../../../pipeline/sources/parquet.ts';
import { START } from '../../../pipeline/sources/source.ts';
import { createSpec } from '../../../pipeline/text/vocabulary.ts';
import { createTokenizer } from '../../../pipeline/text/wordpiece.ts';
import { createJobRunner, type TokenPart } from '../../../pipeline/workers/jobs.ts';
import { memoryFile } from '../../support/memory-file.ts';
import { textParquet } from '../../support/text-parquet.ts';

const spec = createSpec({
  vocabulary: ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'b', '##a', '##b', '.'],
});

/** Parts of each chunk of a file. */
async function partsOf(texts: readonly string[]): Promise<TokenPart[][]> {
  const file = memoryFile(
    await textParquet(
      texts.map((text) => ({ text })),
      texts.length,
    ),
  );
  const runner = createJobRunner(spec, { validation: 0.3, seed: 1, dedup: 'none' });
  const chunks: TokenPart[][] = [];
  const options = { sizesBytes: [file.sizeBytes], open: () => openParquet(file, 'text') };
  for await (const { documents } of readParquetFiles(options, START)) {
    const parts: TokenPart[] = [];
    runner.run({ kind: 'tokenize', documents, spares: [] }, (part) => parts.push(part as TokenPart));
    chunks.push(parts);
  }
  return chunks;
}

describe('a chunk of pages', () => {
  it('is tokenized in parts where a page holds much text, each document once and in order', async () => {
    const texts = Array.from({ length: 40 }, (_, index) =>
      index % 7 === 3 ? '' : `${'ab. '.repeat((index * 7919) % 60_000)}é`,
    );
    const [parts, ...others] = await partsOf(texts);
    expect(others).toEqual([]);
    expect(parts!.length).toBeGreaterThan(1);
    expect(parts!.map(({ isLast }) => isLast)).toEqual(parts!.map((_, index) => index === parts!.length - 1));
    const kept = texts.filter((text) => text !== '');
    const tokenizer = createTokenizer(spec);
    let document = 0;
    for (const part of parts!) {
      expect(part.firstDocument).toBe(document);
      let start = 0;
      for (const end of part.ends) {
        expect([...part.ids.subarray(start, end)]).toEqual([2, ...tokenizer.encode(kept[document]!), 3]);
        start = end;
        document += 1;
      }
    }
    expect(document).toBe(kept.length);
    const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
    expect(sum(parts!.map(({ textBytes }) => textBytes))).toBe(
      sum(kept.map((text) => Buffer.byteLength(text))),
    );
    expect(sum(parts!.map(({ numCharacters }) => numCharacters))).toBe(
      sum(kept.map((text) => Array.from(text).length)),
    );
  });

  it('without a document still ends', async () => {
    expect(await partsOf(['', ''])).toMatchObject([[{ firstDocument: 0, isLast: true, textBytes: 0 }]]);
  });
});
