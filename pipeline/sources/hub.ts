import { TacoError } from '../errors.ts';
import { type ByteFile, openLocalFile } from './byte-file.ts';
import { createHub, type Hub, type HubRepository } from './hub-client.ts';
import { cachedPath, isCached, openCachedFile, readCachedFile } from './hub-cache.ts';
import { chooseTrainFiles, type FileChoice } from './hub-files.ts';
import { openParquet, type ParquetFile, readParquetFiles } from './parquet.ts';
import type { Source, SourceContext, SourceFile, SourceIdentity } from './source.ts';
import { CONVERTED_REVISION, type HubSpec } from './spec.ts';

/** Files of a dataset, pinned. */
interface PinnedDataset {
  readonly revision: string;
  readonly commit: string;
  readonly config: string | undefined;
  readonly files: readonly SourceFile[];
}

/**
 * Finds the Parquet files of a dataset's train split, at the commit that its revision stands for. A dataset
 * without Parquet is read from the Hub's own conversion. With `context.pinned` holding the same spec nothing is
 * looked up: that commit and those files are read, however the branch has moved.
 * @throws TacoError when it is missing, gated, private, or has no such config or column
 */
export async function resolveHubDataset(
  spec: HubSpec,
  context: SourceContext,
  hub: Hub = createHub(context),
): Promise<Source> {
  const repository: HubRepository = { type: 'dataset', name: spec.repository };
  const dataset = pinnedDataset(spec, context.pinned) ?? (await findDataset(spec, repository, hub));
  const { files } = dataset;
  const opener = fileOpener(hub, repository, dataset.commit, files, context);
  const open = async (index: number): Promise<ParquetFile> => openParquet(opener(index), spec.column);
  // Shows a wrong column at once; a plan must not download a whole file for that.
  const first = await openParquet(await peek(hub, repository, dataset, context), spec.column);
  let kept = context.cacheFolder === undefined ? first : undefined;
  if (kept === undefined) await first.file.close();
  const openOnce = (index: number): Promise<ParquetFile> => {
    const reused = index === 0 ? kept : undefined;
    if (reused === undefined) return open(index);
    kept = undefined;
    return Promise.resolve(reused);
  };
  const sizesBytes = files.map((file) => file.sizeBytes);
  const totalBytes = sizesBytes.reduce((sum, size) => sum + size, 0);
  return {
    identity: {
      spec: spec.text,
      kind: 'hub',
      repository: spec.repository,
      revision: dataset.revision,
      commit: dataset.commit,
      ...(dataset.config === undefined ? {} : { config: dataset.config }),
      column: spec.column,
      ...(spec.weight === undefined ? {} : { weight: spec.weight }),
      files,
    },
    totalBytes,
    read: (from) => readParquetFiles({ sizesBytes, open: openOnce }, from),
  };
}

type Opener = (index: number) => ByteFile;

function fileOpener(
  hub: Hub,
  repository: HubRepository,
  commit: string,
  files: readonly SourceFile[],
  context: SourceContext,
): Opener {
  const { cacheFolder } = context;
  return cacheFolder === undefined
    ? (index) => hub.openFile(repository, commit, files[index]!)
    : (index) => openCachedFile(hub, repository, commit, files[index]!, { ...context, cacheFolder });
}

/** The first file: from the cache if it is there, else by ranges. */
async function peek(
  hub: Hub,
  repository: HubRepository,
  { commit, files }: PinnedDataset,
  { cacheFolder }: SourceContext,
): Promise<ByteFile> {
  const file = files[0]!;
  if (cacheFolder !== undefined) {
    const path = cachedPath(cacheFolder, repository, commit, file.path);
    if (await isCached(path, file)) return openLocalFile(path);
  }
  return hub.openFile(repository, commit, file);
}

function pinnedDataset(
  spec: HubSpec,
  pinned: readonly SourceIdentity[] | undefined,
): PinnedDataset | undefined {
  const identity = pinned?.find(({ kind, spec: text }) => kind === 'hub' && text === spec.text);
  if (identity?.commit === undefined || identity.files.length === 0) return undefined;
  const { commit, config, files, revision } = identity;
  return { revision: revision ?? commit, commit, config, files };
}

async function findDataset(spec: HubSpec, repository: HubRepository, hub: Hub): Promise<PinnedDataset> {
  const asked = spec.revision ?? 'main';
  const commit = await hub.resolveCommit(repository, asked);
  const found = await chooseFiles(spec, repository, commit, hub);
  if (found.choice.kind === 'files') return pin(asked, commit, found.choice, found.files);
  if (spec.revision !== undefined) throw notFound(spec, found.choice, asked);

  const convertedCommit = await hub.resolveCommit(repository, CONVERTED_REVISION).catch((error: unknown) => {
    if (error instanceof TacoError && error.code === 'not-found') return undefined;
    throw error;
  });
  if (convertedCommit === undefined) throw notFound(spec, found.choice, asked);
  const converted = await chooseFiles(spec, repository, convertedCommit, hub);
  if (converted.choice.kind !== 'files') {
    throw notFound(
      spec,
      found.choice.kind === 'configs' ? found.choice : converted.choice,
      CONVERTED_REVISION,
    );
  }
  return pin(CONVERTED_REVISION, convertedCommit, converted.choice, converted.files);
}

/** With a config given its folder alone is listed, which for Wikipedia's 300 dumps is one request instead of many. */
async function chooseFiles(
  spec: HubSpec,
  repository: HubRepository,
  commit: string,
  hub: Hub,
): Promise<{ choice: FileChoice; files: readonly SourceFile[] }> {
  if (spec.config !== undefined) {
    const files = (await hub.listFiles(repository, commit, spec.config)) ?? [];
    const paths = files.map((file) => file.path);
    const choice = chooseTrainFiles(paths, spec.config);
    if (choice.kind === 'files' || choice.kind === 'partial') return { choice, files };
  }
  const files = (await hub.listFiles(repository, commit)) ?? [];
  const paths = files.map((file) => file.path);
  return { choice: chooseTrainFiles(paths, spec.config), files };
}

function pin(
  revision: string,
  commit: string,
  choice: Extract<FileChoice, { kind: 'files' }>,
  listed: readonly SourceFile[],
): PinnedDataset {
  const byPath = new Map(listed.map((file) => [file.path, file]));
  return { revision, commit, config: choice.config, files: choice.paths.map((path) => byPath.get(path)!) };
}

function notFound(spec: HubSpec, choice: FileChoice, revision: string): TacoError {
  const what = `dataset ${spec.repository} at ${revision}`;
  const named = spec.config === undefined ? '' : ` of config ${spec.config}`;
  const example = (config: string) => `hub:${spec.repository}/${config}`;
  const message =
    choice.kind === 'configs'
      ? spec.config === undefined
        ? `${what} has several configs (${shorten(choice.configs)}); name one, for instance ${example(choice.configs[0]!)}`
        : `${what} has no config ${spec.config}; it has ${shorten(choice.configs)}`
      : choice.kind === 'partial'
        ? `${what} holds only the beginning${named} (the Hub converts at most 5 GB); use a dataset stored as Parquet`
        : `${what} has no Parquet files of a train split${named}; use one that has, or download it for file:`;
  return new TacoError(message, { code: 'not-found', stage: 'source', path: spec.repository });
}

function shorten(names: readonly string[]): string {
  return names.length <= 12
    ? names.join(', ')
    : `${names.slice(0, 12).join(', ')} and ${names.length - 12} more`;
}

/** What the tokenizer needs of the Hub; repositories are resolved to a commit once. */
export interface HubFiles {
  fetchHubFile(repository: string, path: string, revision?: string): Promise<Uint8Array | null>;
}

/** Small files of model repositories. Nothing is requested before the first. */
export function createHubFiles(context: SourceContext): HubFiles {
  const commits = new Map<string, Promise<string>>();
  let hub: Hub | undefined;
  return {
    async fetchHubFile(name, path, revision = 'main') {
      const repository: HubRepository = { type: 'model', name };
      hub ??= createHub(context);
      const key = `${name}@${revision}`;
      const commit = commits.get(key) ?? hub.resolveCommit(repository, revision);
      commits.set(key, commit);
      return readCachedFile(hub, repository, await commit, path, context.cacheFolder);
    },
  };
}

/** The Hub's address and token as its own tools take them: `HF_ENDPOINT`, `HF_TOKEN`. */
export function hubFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): Pick<SourceContext, 'endpoint' | 'token'> {
  const value = (name: string) => environment[name]?.trim() || undefined;
  return { endpoint: value('HF_ENDPOINT'), token: value('HF_TOKEN') };
}
