import { writeFile } from 'node:fs/promises';
import { type EncodedExamples, lengthsOf, padRows } from '../../../src/glue/encode.ts';

/** Writes encoded examples for Python, without padding. */
export async function writeRows(path: string, encoded: EncodedExamples): Promise<void> {
  const rows = Array.from(lengthsOf(encoded), (length, row) => {
    const { ids_N, typeIds_N } = padRows(encoded, [row], length, 0);
    return { ids: [...ids_N], types: [...typeIds_N], label: encoded.labels[row]! };
  });
  await writeFile(path, JSON.stringify(rows));
}
