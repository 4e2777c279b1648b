import { stat } from 'node:fs/promises';
import { TacoError } from '../errors.ts';
import { localError } from './byte-file.ts';

/** Changes whenever the file is written to or replaced. @throws TacoError `not-found` or `disk` */
export async function stateOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true });
    return [ino, size, mtimeNs].join(' ');
  } catch (error) {
    throw localError(path, error);
  }
}

/** @throws TacoError `mismatch`: rows of two contents in one dataset would be of neither */
export async function requireState(path: string, state: string): Promise<void> {
  if ((await stateOf(path)) === state) return;
  throw new TacoError(
    `${path} was changed while it was being read; put it back and run the same command again, or prepare the new one in another folder`,
    { code: 'mismatch', stage: 'source', path },
  );
}
