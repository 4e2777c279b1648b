import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { UploadFile } from '../sources/hub-upload.ts';
import type { SourceFile } from '../sources/source.ts';
import { diskError } from './atomic.ts';

/** A file as it lies here, and what the Hub would call it. */
export interface LocalFile extends UploadFile {
  readonly sha256: string;
  /** git's name of the content, by which the Hub knows small files. */
  gitId(): Promise<string>;
}

/** A file on disk whose size and hash are known. */
export function diskFile(path: string, localPath: string, sizeBytes: number, sha256: string): LocalFile {
  const gitId = async (): Promise<string> => gitIdOf(await readLocal(localPath));
  return { path, sizeBytes, sha256, gitId, content: { localPath } };
}

export function memoryFile(path: string, content: Uint8Array<ArrayBuffer>): LocalFile {
  return {
    path,
    sizeBytes: content.length,
    content,
    sha256: createHash('sha256').update(content).digest('hex'),
    gitId: () => Promise.resolve(gitIdOf(content)),
  };
}

async function readLocal(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw diskError('read', path, error);
  }
}

function gitIdOf(content: Uint8Array): string {
  return createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex');
}

/** The files that a repository lacks or has otherwise, in their order. */
export async function missingFiles<File extends LocalFile>(
  files: readonly File[],
  listed: readonly SourceFile[],
): Promise<readonly File[]> {
  const byPath = new Map(listed.map((file) => [file.path, file]));
  const missing: File[] = [];
  for (const file of files) if (!(await isSame(file, byPath.get(file.path)))) missing.push(file);
  return missing;
}

async function isSame(file: LocalFile, there: SourceFile | undefined): Promise<boolean> {
  if (there?.sizeBytes !== file.sizeBytes) return false;
  return /^[0-9a-f]{64}$/.test(there.digest)
    ? there.digest === file.sha256
    : there.digest === (await file.gitId());
}

export function totalBytesOf(files: readonly UploadFile[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
