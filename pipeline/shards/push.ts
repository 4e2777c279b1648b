import { TacoError } from '../errors.ts';
import type { HubRepository } from '../sources/hub-client.ts';
import { type Dataset, openDataset } from './dataset.ts';
import { manifestFile } from './manifest.ts';
import { totalBytesOf } from './push-files.ts';
import { commitsOfFiles, type DatasetFiles, deltaOf, filesOf, type PushDelta } from './push-plan.ts';
import {
  type BranchState,
  checkRepositoryName,
  makeRepository,
  type PlannedRepository,
  planRepository,
  type PushEvent,
  type PushTarget,
  type PushTargetOptions,
  pushUntilComplete,
} from './push-repository.ts';
import { parseDatasetReference } from './storage.ts';
import { verifyDataset } from './verify.ts';

export interface PushOptions extends PushTargetOptions {
  /** Of the dataset. */
  readonly folder: string;
}

/** What a push would do. Nothing was changed yet. */
export interface PushPlan extends PlannedRepository {
  readonly dataset: Dataset;
  readonly delta: PushDelta;
  readonly files: DatasetFiles;
}

/**
 * Compares a complete dataset with what a repository holds. Changes nothing.
 * @throws TacoError `bad-config`, `forbidden`, `not-found`, `network`; as `openDataset`
 */
export async function planPush(options: PushOptions): Promise<PushPlan> {
  const { folder } = options;
  checkRepositoryName(options.repository);
  if (parseDatasetReference(folder).kind !== 'folder') {
    throw new TacoError(`${folder} lies on the Hub already; expected the folder of a prepared dataset`, {
      code: 'bad-config',
      stage: 'push',
    });
  }
  const dataset = await openDataset(folder);
  const files = filesOf(dataset, await dataset.readTokenizer(), options);
  const target = await planRepository('dataset', options);
  const delta = await compare(options, files, dataset.fingerprint, target.state);
  const notes = [...target.notes];
  if (delta.hasManifest && delta.rest.some(({ path }) => path === manifestFile)) {
    notes.push(
      `${target.repository} holds another dataset, which this one replaces; its commits keep it (${target.state?.commit ?? ''})`,
    );
  }
  const local = dataset.manifest.sources.find(({ kind }) => kind === 'file');
  if (local !== undefined) notes.push(`the manifest names your local files: ${local.spec}`);
  return { ...target, dataset, files, delta, notes };
}

function compare(
  { repository }: PushTarget,
  files: DatasetFiles,
  fingerprint: string,
  state: BranchState | undefined,
): Promise<PushDelta> {
  return deltaOf(files, state?.listed ?? [], { fingerprint, repository }, state?.card);
}

/**
 * Carries a plan out: checks the shards that are missing there, uploads them in commits of bounded size, and
 * commits the manifest last, on top of a commit that holds every shard it names. A repository whose manifest is of
 * other shards loses it first. Run again after an interruption it uploads what is still missing.
 * @throws TacoError in one line; the signal's reason
 */
export async function push(plan: PushPlan, report: (event: PushEvent) => void): Promise<void> {
  const { hub, dataset, files, branch } = plan;
  await requireWhole(plan, report);
  await makeRepository(plan, report);
  await pushUntilComplete(plan, report, async (state) => {
    const delta = await compare(plan, files, dataset.fingerprint, state);
    if (delta.upload.length > 0 || delta.stale.length > 0) {
      await uploadShards(plan, delta, report);
      return true;
    }
    if (delta.rest.length === 0) return false;
    const commit = await hub.commit(datasetRepository(plan.repository), {
      branch,
      title: `Dataset ${dataset.fingerprint.slice(0, 12)}`,
      add: delta.rest,
      remove: [],
      parent: state.commit,
    });
    if (commit !== undefined) report({ kind: 'committed', files: delta.rest.map(({ path }) => path) });
    return true;
  });
}

function datasetRepository(name: string): HubRepository {
  return { type: 'dataset', name };
}

async function requireWhole({ dataset, delta, signal }: PushPlan, report: (event: PushEvent) => void) {
  const shards = delta.upload.map(({ shard }) => shard);
  for await (const event of verifyDataset(dataset, { shards, signal })) {
    if (event.kind === 'progress') {
      const { file, doneBytes, totalBytes } = event;
      report({ kind: 'verifying', file, doneBytes, totalBytes });
      continue;
    }
    throw new TacoError(
      `${event.name} is damaged (${event.damage}); run prepare-data for this folder again, then push; nothing was uploaded`,
      { code: 'corrupt', stage: 'push', path: event.name },
    );
  }
}

async function uploadShards(
  { hub, branch, repository, signal }: PushPlan,
  { upload, stale, hasManifest }: PushDelta,
  report: (event: PushEvent) => void,
): Promise<void> {
  // Whoever reads on the way must not find the old manifest with new shards.
  let remove = hasManifest ? [manifestFile, ...stale] : stale;
  const totalBytes = totalBytesOf(upload);
  let before = 0;
  const commits = upload.length === 0 ? [[]] : commitsOfFiles(upload);
  for (const [index, add] of commits.entries()) {
    signal?.throwIfAborted();
    await hub.commit(datasetRepository(repository), {
      branch,
      title: `Shards, part ${index + 1} of ${commits.length}`,
      add,
      remove,
      onProgress: (doneBytes) => {
        report({ kind: 'uploading', doneBytes: before + doneBytes, totalBytes });
      },
    });
    before += totalBytesOf(add);
    report({ kind: 'uploading', doneBytes: before, totalBytes });
    report({ kind: 'committed', files: add.map(({ path }) => path) });
    remove = [];
  }
}
