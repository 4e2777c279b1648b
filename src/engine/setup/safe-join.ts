import { isAbsolute, relative, resolve } from 'node:path';
import { TacoError } from '../../../pipeline/index.ts';

/**
 * A path of an archive below the folder it is unpacked to.
 * @throws TacoError `corrupt` when it would lead out of that folder
 */
export function safeJoin(folder: string, name: string, archive: string): string {
  const path = resolve(folder, name);
  const inside = relative(folder, path);
  if (inside === '' || inside.startsWith('..') || isAbsolute(inside)) {
    throw new TacoError(`${archive} holds a file outside of itself: ${name}`, {
      code: 'corrupt',
      stage: 'setup',
      path: archive,
    });
  }
  return path;
}
