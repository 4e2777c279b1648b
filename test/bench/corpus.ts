import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { Random } from '../../pipeline/random.ts';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';
import { openTextParquet } from '../support/text-parquet.ts';

/** The two loads of pretraining: articles of some kilobytes, and one short lower-cased sentence a row. */
export type CorpusShape = 'wikipedia' | 'books';

export interface Corpus {
  /** Pattern of the files. */
  readonly files: string;
  readonly textBytes: number;
  readonly rows: number;
}

const FILE_BYTES = 50e6;
/** As on the Hub. */
const ROWS_PER_GROUP = 1000;
const LEXICON_WORDS = 400_000;
/** Rank from which words are rarer than by Zipf's law: the core vocabulary of a language. */
const CORE_WORDS = 8_000;
const CORE_WEIGHT = Math.log(CORE_WORDS) + 0.58;

/**
 * Made-up English: words from a lexicon of 400,000, whose commonest are the whole words of BERT's vocabulary and whose
 * others are joined from its pieces. They come by Zipf's law in its two regimes (Ferrer i Cancho, Solé 2001): as 1 / r
 * for the core, which makes nine words in ten, as 1 / r² behind it. Sentences, numbers, names, some accents.
 */
export class TextMaker {
  readonly #random: Random;
  readonly #words: readonly string[];

  constructor(seed: number) {
    this.#random = new Random(seed);
    this.#words = lexicon(this.#random);
  }

  /** A document of Wikipedia's kind: paragraphs, from a few hundred bytes to tens of thousands. */
  article(): string {
    const length = Math.exp(6.6 + 1.1 * this.#random.normal());
    const sentences: string[] = [];
    for (let bytes = 0; bytes < length; ) {
      const sentence = this.#sentence();
      bytes += sentence.length + 1;
      sentences.push(sentence, this.#random.below(6) === 0 ? '\n\n' : ' ');
    }
    return sentences.join('').trimEnd();
  }

  /** A row of BookCorpus's kind: one sentence, lower-cased, punctuation set apart. */
  line(): string {
    const numWords = 3 + this.#random.below(21);
    const words = Array.from({ length: numWords }, () => this.#word());
    return `${words.join(' ').toLowerCase()} ${this.#random.below(8) === 0 ? '?' : '.'}`;
  }

  #sentence(): string {
    const numWords = 5 + this.#random.below(30);
    const words = Array.from({ length: numWords }, (_, index) => {
      const fate = this.#random.below(100);
      if (fate < 2) return String(this.#random.below(2100));
      const word = this.#word();
      if (index === 0 || fate < 12) return word.charAt(0).toUpperCase() + word.slice(1);
      if (fate < 18) return `${word},`;
      if (fate === 18) return `(${word})`;
      if (fate === 19) return word.replace('e', 'é');
      return word;
    });
    return `${words.join(' ')}.`;
  }

  #word(): string {
    const fate = this.#random.float() * (CORE_WEIGHT + 1);
    const rank =
      fate < CORE_WEIGHT
        ? Math.exp((fate / CORE_WEIGHT) * Math.log(CORE_WORDS))
        : CORE_WORDS / (1 - (fate - CORE_WEIGHT));
    return this.#words[Math.min(Math.floor(rank), LEXICON_WORDS) - 1]!;
  }
}

function lexicon(random: Random): readonly string[] {
  const { vocabulary } = builtinTokenizer();
  const words = vocabulary.filter((token) => /^[a-z]{2,}$/.test(token));
  const endings = vocabulary.filter((token) => /^##[a-z]{2,}$/.test(token)).map((token) => token.slice(2));
  const all = new Set(words);
  while (all.size < LEXICON_WORDS) {
    const parts = Array.from({ length: 1 + random.below(2) }, () => endings[random.below(endings.length)]!);
    all.add(words[random.below(words.length)]! + parts.join(''));
  }
  return [...all];
}

/** Writes Parquet files of a shape, Snappy, with the columns of the real datasets. The same for the same size. */
export async function writeCorpus(folder: string, shape: CorpusShape, textBytes: number): Promise<Corpus> {
  await mkdir(folder, { recursive: true });
  const maker = new TextMaker(shape === 'books' ? 2 : 1);
  let done = 0;
  let rows = 0;
  for (let index = 0; done < textBytes; index += 1) {
    const stream = createWriteStream(join(folder, `train-${String(index).padStart(5, '0')}.parquet`));
    const columns = shape === 'books' ? ['text'] : ['id', 'url', 'title', 'text'];
    const writer = await openTextParquet(stream, columns, {
      rowGroupSize: ROWS_PER_GROUP,
      compression: 'SNAPPY',
    });
    for (const end = Math.min(textBytes, done + FILE_BYTES); done < end; rows += 1) {
      const text = shape === 'books' ? maker.line() : maker.article();
      const title = `Article ${rows}`;
      const row =
        shape === 'books' ? { text } : { id: String(rows), url: `https://example.org/${rows}`, title, text };
      await writer.appendRow(row);
      done += Buffer.byteLength(text);
    }
    await writer.close();
    stream.end();
    await finished(stream);
  }
  return { files: join(folder, '*.parquet'), textBytes: done, rows };
}
