import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, systemCodeOf, TacoError } from '../errors.ts';
import { type ByteFile, openLocalFile } from './byte-file.ts';
import { openCachedFile } from './hub-cache.ts';
import { createHub, type HubRepository } from './hub-client.ts';
import type { SourceContext } from './source.ts';

/** The files of a model: of a folder, or of a Hub repository at a commit. Files of its subfolders are left out. */
export interface ModelFiles {
  /** The folder, or `hub:org/name@<commit>`, which names the very same files however a branch moves. */
  readonly reference: string;
  readonly names: ReadonlySet<string>;
  /** How messages call a file. */
  nameOf(name: string): string;
  /** One of `names`, for reading by ranges. @throws TacoError */
  open(name: string): Promise<ByteFile>;
}

const HUB_REFERENCE = /^hub:(\w[\w.-]*\/\w[\w.-]*)(?:@([^@\s]+))?$/;

/**
 * Finds a model's files. Those of the Hub are kept under `context.cacheFolder` where there is one.
 * @param reference a folder, or `hub:org/name[@revision]`
 * @throws TacoError `not-found`, `bad-config` for a reference that begins with `hub:` and goes on otherwise; on the Hub
 *   also `forbidden` and `network`
 */
export async function openModelFiles(reference: string, context: SourceContext): Promise<ModelFiles> {
  return reference.startsWith('hub:') ? openRepository(reference, context) : openFolder(reference);
}

async function openFolder(folder: string): Promise<ModelFiles> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    const nameOf = (name: string): string => join(folder, name);
    return {
      reference: folder,
      // Python's cache of the Hub consists of links.
      names: new Set(entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name)),
      nameOf,
      open: (name) => openLocalFile(nameOf(name)),
    };
  } catch (error) {
    const isAbsent = systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ENOTDIR';
    throw new TacoError(
      isAbsent
        ? `${folder} is no folder; expected that of a run, a checkpoint or a model, or hub:org/name[@revision]`
        : `cannot read the folder ${folder}: ${messageOf(error)}`,
      { code: isAbsent ? 'not-found' : 'disk', stage: 'model', path: folder, cause: error },
    );
  }
}

async function openRepository(text: string, context: SourceContext): Promise<ModelFiles> {
  const [, name, revision = 'main'] = HUB_REFERENCE.exec(text) ?? [];
  if (name === undefined) {
    throw new TacoError(`${text} is no model of the Hub; expected hub:org/name[@revision]`, {
      code: 'bad-config',
      stage: 'model',
      path: text,
    });
  }
  const hub = createHub(context);
  const repository: HubRepository = { type: 'model', name };
  const isCommit = /^[0-9a-f]{40}$/.test(revision);
  const commit = isCommit ? revision : await hub.resolveCommit(repository, revision);
  const listed = await hub.listFiles(repository, commit);
  const files = new Map(
    (listed ?? []).filter(({ path }) => !path.includes('/')).map((file) => [file.path, file]),
  );
  const reference = `hub:${name}@${commit}`;
  const { cacheFolder } = context;
  return {
    reference,
    names: new Set(files.keys()),
    nameOf: (file) => `${file} of ${reference}`,
    open: (path) => {
      const file = files.get(path)!;
      return Promise.resolve(
        cacheFolder === undefined
          ? hub.openFile(repository, commit, file)
          : openCachedFile(hub, repository, commit, file, { ...context, cacheFolder }),
      );
    },
  };
}

/** The whole content of a small file; undefined where there is none. @throws TacoError */
export async function readModelFile(
  files: ModelFiles,
  name: string,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (!files.names.has(name)) return undefined;
  const file = await files.open(name);
  try {
    return await file.read(0, file.sizeBytes);
  } finally {
    await file.close();
  }
}
