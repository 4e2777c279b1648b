import { writeFile } from 'node:fs/promises';
import { Random } from '../../pipeline/random.ts';

export interface TextShape {
  readonly documents: number;
  /** Most words of a document; the least is none. Default 80. */
  readonly maxWords?: number;
  readonly seed?: number;
}

/** Made-up documents: pseudo-random lower-case words, some punctuation, an accent here and there. */
export function makeTexts({ documents, maxWords = 80, seed = 1 }: TextShape): string[] {
  const random = new Random(seed);
  const letters = 'etaoinshrdlucmfwypvbgkéqjxz';
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
