import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import { extract } from 'tar';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { messageOf, systemCodeOf, TacoError } from '../../../pipeline/index.ts';

/**
 * Unpacks the files of a zip archive, such as a Python wheel, that are wanted.
 * @returns how many files were written
 * @throws TacoError `corrupt` for an archive that is damaged or leads out of the folder
 */
export async function extractZip(
  file: string,
  folder: string,
  isWanted: (name: string) => boolean,
  signal?: AbortSignal,
): Promise<number> {
  let numFiles = 0;
  await eachFile(file, async (zip, entry) => {
    signal?.throwIfAborted();
    if (!isWanted(entry.fileName)) return;
    const path = join(folder, entry.fileName);
    await mkdir(dirname(path), { recursive: true });
    await pipeline(await zip.openReadStreamPromise(entry), createWriteStream(path), { signal });
    numFiles += 1;
  });
  return numFiles;
}

/** The text of the first file whose name ends so, or undefined. @throws TacoError `corrupt` */
export async function readZipText(file: string, nameEnding: string): Promise<string | undefined> {
  let found: string | undefined;
  await eachFile(file, async (zip, entry) => {
    if (found !== undefined || !entry.fileName.endsWith(nameEnding)) return;
    found = await text(await zip.openReadStreamPromise(entry));
  });
  return found;
}

async function eachFile(file: string, visit: (zip: ZipFile, entry: Entry) => Promise<void>): Promise<void> {
  try {
    const zip = await openPromise(file);
    try {
      for await (const entry of zip.eachEntry()) {
        if (!entry.fileName.endsWith('/')) await visit(zip, entry);
      }
    } finally {
      zip.close();
    }
  } catch (error) {
    throw unpackError(file, error);
  }
}

/**
 * Unpacks a gzipped tar archive.
 * @param strip how many leading folders of each path to leave out
 * @throws TacoError `corrupt` for an archive that is damaged, empty, or leads out of the folder
 */
export async function extractTarGz(
  file: string,
  folder: string,
  strip: number,
  signal?: AbortSignal,
): Promise<void> {
  let numEntries = 0;
  try {
    await mkdir(folder, { recursive: true });
    await extract({
      file,
      cwd: folder,
      strip,
      strict: true,
      onReadEntry: () => {
        signal?.throwIfAborted();
        numEntries += 1;
      },
    });
    if (numEntries === 0) throw new Error('nothing is in it');
  } catch (error) {
    throw unpackError(file, error);
  }
}

/** Errors with a system's code, such as a full disk, and interruptions are passed on. */
function unpackError(file: string, error: unknown): unknown {
  const isSystem = /^E[A-Z]+$/.test(systemCodeOf(error) ?? '');
  if (isSystem || (error instanceof Error && error.name === 'AbortError')) return error;
  const message = messageOf(error).split('\n')[0] ?? '';
  return new TacoError(`${file} cannot be unpacked, it may be cut short or damaged: ${message}`, {
    code: 'corrupt',
    stage: 'setup',
    path: file,
    cause: error,
  });
}
