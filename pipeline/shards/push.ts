import { TacoError } from '../errors.ts';
import type { HubRepository } from '../sources/hub-client.ts';
import type { HubWriter } from '../sources/hub-upload.ts';
import type { SourceFile } from '../sources/source.ts';
import { type Dataset, openDataset } from './dataset.ts';
import { manifestFile } from './manifest.ts';
import {
  commitsOfFiles,
  type DatasetFiles,
  deltaOf,
  filesOf,
  type LocalFile,
  type PushDelta,
  type PushTarget,
} from './push-plan.ts';
import { parseDatasetReference } from './storage.ts';
import { verifyDataset } from './verify.ts';

export interface PushOptions extends PushTarget {
  /** Of the dataset. */
  readonly folder: string;
  readonly hub: HubWriter;
  /** As asked for; a new repository is private unless this is `public`. */
  readonly visibility?: 'private' | 'public' | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a push would do. Nothing was changed yet. */
export interface PushPlan extends PushTarget {
  readonly dataset: Dataset;
  readonly account: string;
  /** Whether a repository has to be made. */
  readonly isNew: boolean;
  /** Whether a branch of it has to be made. */
  readonly isNewBranch: boolean;
  /** Of the repository, there or to be made. */
  readonly visibility: 'private' | 'public';
  readonly delta: PushDelta;
  /** What the user should know. */
  readonly notes: readonly string[];
  readonly files: DatasetFiles;
  readonly hub: HubWriter;
  readonly signal: AbortSignal | undefined;
}

export type PushEvent =
  | {
      readonly kind: 'verifying';
      readonly file: string;
      readonly doneBytes: number;
      readonly totalBytes: number;
    }
  | { readonly kind: 'created' }
  /** Bytes of shards since the push began. */
  | { readonly kind: 'uploading'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly kind: 'committed'; readonly files: readonly string[] }
  | { readonly kind: 'done'; readonly commit: string; readonly isUnchanged: boolean };

/** Rounds in which somebody else's commits may come in between. */
const MAX_ROUNDS = 5;

/** The Hub's rules for names, without what only its server knows. */
const NAME = /^(?=.{3,193}$)[A-Za-z0-9][\w.-]*\/[A-Za-z0-9_][\w.-]{0,95}$/;

/** @throws TacoError `bad-config` for a name that cannot be one */
export function checkRepositoryName(name: string): string {
  const isBad = !NAME.test(name) || /--|\.\.|[-.]\/|[-.]$|\.git$/.test(name);
  if (!isBad) return name;
  throw new TacoError(
    `${name} is not the name of a repository; expected org/name of letters, digits, "-", "_" and ".", where org is your account or an organisation`,
    { code: 'bad-config', stage: 'push' },
  );
}

/**
 * Compares a complete dataset with what a repository holds. Changes nothing.
 * @throws TacoError `bad-config`, `forbidden`, `not-found`, `network`; as `openDataset`
 */
export async function planPush(options: PushOptions): Promise<PushPlan> {
  const { folder, hub, branch, signal } = options;
  const repository = datasetRepository(checkRepositoryName(options.repository));
  if (parseDatasetReference(folder).kind !== 'folder') {
    throw new TacoError(`${folder} lies on the Hub already; expected the folder of a prepared dataset`, {
      code: 'bad-config',
      stage: 'push',
    });
  }
  if (/^[0-9a-f]{40}$/.test(branch)) {
    throw new TacoError(`--revision is the commit ${branch}; expected a branch, which can take new ones`, {
      code: 'bad-config',
      stage: 'push',
    });
  }
  const dataset = await openDataset(folder);
  const files = filesOf(dataset, await dataset.readTokenizer(), options);
  const account = await hub.requireAccount();
  const there = await hub.describe(repository);
  const notes: string[] = [];
  const visibility = visibilityOf(there, options, hub.endpoint, notes);
  const state = there === undefined ? undefined : await branchOf(hub, repository, branch);
  const delta = await compare(options, files, dataset.fingerprint, state);
  if (delta.hasManifest && delta.rest.some(({ path }) => path === manifestFile)) {
    notes.push(
      `${repository.name} holds another dataset, which this one replaces; its commits keep it (${state?.commit ?? ''})`,
    );
  }
  const local = dataset.manifest.sources.find(({ kind }) => kind === 'file');
  if (local !== undefined) notes.push(`the manifest names your local files: ${local.spec}`);
  return {
    dataset,
    account,
    files,
    delta,
    visibility,
    notes,
    hub,
    branch,
    signal,
    repository: repository.name,
    isNew: there === undefined,
    isNewBranch: state?.isNewBranch ?? branch !== 'main',
  };
}

function datasetRepository(name: string): HubRepository {
  return { type: 'dataset', name };
}

/** What is there decides; nobody's private repository becomes public by a push, nor private data public. */
function visibilityOf(
  there: { readonly isPrivate: boolean } | undefined,
  { repository, visibility }: PushOptions,
  endpoint: string,
  notes: string[],
): 'private' | 'public' {
  if (there === undefined) return visibility ?? 'private';
  const settings = `${endpoint}/datasets/${repository}/settings`;
  if (!there.isPrivate && visibility === 'private') {
    throw new TacoError(
      `${repository} is public, --private was given; make it private at ${settings}, or leave --private out`,
      { code: 'bad-config', stage: 'push', path: repository },
    );
  }
  if (there.isPrivate && visibility === 'public') {
    notes.push(`${repository} is private and stays so; make it public at ${settings}`);
  }
  return there.isPrivate ? 'private' : 'public';
}

/** A branch as it is now. */
interface BranchState {
  readonly commit: string;
  readonly listed: readonly SourceFile[];
  /** It is not there yet, and will begin with what `main` has. */
  readonly isNewBranch: boolean;
  readonly card: string | undefined;
}

async function branchOf(hub: HubWriter, repository: HubRepository, branch: string): Promise<BranchState> {
  let isNewBranch = false;
  const commit = await hub.resolveCommit(repository, branch).catch((error: unknown) => {
    if (!(error instanceof TacoError) || error.code !== 'not-found' || branch === 'main') throw error;
    isNewBranch = true;
    return hub.resolveCommit(repository, 'main');
  });
  const listed = (await hub.listFiles(repository, commit)) ?? [];
  const hasCard = listed.some(({ path, sizeBytes }) => path === 'README.md' && sizeBytes > 0);
  const card = hasCard ? await hub.readFile(repository, commit, 'README.md') : null;
  return {
    commit,
    listed,
    isNewBranch,
    card: card === null ? undefined : Buffer.from(card).toString('utf8'),
  };
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
  const { hub, dataset, files, branch, signal } = plan;
  const repository = datasetRepository(plan.repository);
  await requireWhole(plan, report);
  if (plan.isNew) await hub.create(repository, plan.visibility);
  if (plan.isNew && plan.visibility === 'private') await requirePrivate(hub, repository);
  if (plan.isNewBranch) await hub.createBranch(repository, branch);
  if (plan.isNew || plan.isNewBranch) report({ kind: 'created' });
  let isUnchanged = true;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    signal?.throwIfAborted();
    const state = await branchOf(hub, repository, branch);
    const delta = await compare(plan, files, dataset.fingerprint, state);
    if (delta.upload.length > 0 || delta.stale.length > 0) {
      await uploadShards(plan, delta, report);
    } else if (delta.rest.length === 0) {
      report({ kind: 'done', commit: state.commit, isUnchanged });
      return;
    } else {
      const commit = await hub.commit(repository, {
        branch,
        title: `Dataset ${dataset.fingerprint.slice(0, 12)}`,
        add: delta.rest,
        remove: [],
        parent: state.commit,
      });
      if (commit !== undefined) report({ kind: 'committed', files: delta.rest.map(({ path }) => path) });
    }
    isUnchanged = false;
  }
  throw new TacoError(
    `${plan.repository} changes while it is pushed to: somebody else writes to ${branch}; run the same command again`,
    { code: 'mismatch', stage: 'push', path: plan.repository },
  );
}

async function requirePrivate(hub: HubWriter, repository: HubRepository): Promise<void> {
  if ((await hub.describe(repository))?.isPrivate === true) return;
  throw new TacoError(
    `the Hub made ${repository.name} public although a private repository was asked for; nothing was uploaded. Make it private in its settings, or give --public`,
    { code: 'mismatch', stage: 'push', path: repository.name },
  );
}

async function requireWhole({ dataset, delta, signal }: PushPlan, report: (event: PushEvent) => void) {
  const shards = delta.upload.flatMap(({ shard }) => (shard === undefined ? [] : [shard]));
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
  const totalBytes = sizeOf(upload);
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
    before += sizeOf(add);
    report({ kind: 'uploading', doneBytes: before, totalBytes });
    report({ kind: 'committed', files: add.map(({ path }) => path) });
    remove = [];
  }
}

function sizeOf(files: readonly LocalFile[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
