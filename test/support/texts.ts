import { writeFile } from 'node:fs/promises';
import { Random } from '../../pipeline/random.ts';

const letters = 'etaoinshrdlucmfwypvbgkéqjxz';

export interface TextShape {
  readonly documents: number;
  /** Most words of a document; the least is none. Default 80. */
  readonly maxWords?: number;
  readonly seed?: number;
}

/** Made-up documents: pseudo-random lower-case words, some punctuation, an accent here and there. */
export function makeTexts({ documents, maxWords = 80, seed = 1 }: TextShape): string[] {
  const random = new Random(seed);
  const word = (): string =>
    Array.from({ length: 1 + random.below(8) }, () => letters[random.below(letters.length)]).join('');
  return Array.from({ length: documents }, () =>
    Array.from(
      { length: random.below(maxWords + 1) },
      () => word() + (random.below(9) === 0 ? ',' : ''),
    ).join(' '),
  );
}

/** Writes documents as JSON lines with the field `text`. */
export async function writeJsonLines(path: string, texts: readonly string[]): Promise<void> {
  await writeFile(path, texts.map((text) => `${JSON.stringify({ text })}\n`).join(''));
}

/** Writes a vocabulary of letters for such texts: loads at once, where a real one takes a good part of a second. */
export async function writeVocabulary(path: string): Promise<void> {
  const special = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ','];
  const pieces = Array.from(letters).flatMap((letter) => [letter, `##${letter}`]);
  await writeFile(path, [...special, ...pieces, ''].join('\n'));
}
