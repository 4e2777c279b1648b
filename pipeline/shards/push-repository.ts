import { TacoError } from '../errors.ts';
import type { HubRepository } from '../sources/hub-client.ts';
import { pageOf } from '../sources/hub-errors.ts';
import type { HubWriter } from '../sources/hub-upload.ts';
import type { SourceFile } from '../sources/source.ts';

/** Where something is pushed to. */
export interface PushTarget {
  /** `org/name` */
  readonly repository: string;
  readonly branch: string;
}

export type Visibility = 'private' | 'public';

export interface PushTargetOptions extends PushTarget {
  readonly hub: HubWriter;
  /** As asked for; a new repository is private unless this is `public`. */
  readonly visibility?: Visibility | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A repository as it is found, and what has to be made. Nothing was changed yet. */
export interface PlannedRepository extends PushTarget {
  readonly type: HubRepository['type'];
  readonly hub: HubWriter;
  readonly signal: AbortSignal | undefined;
  readonly account: string;
  /** Whether it has to be made. */
  readonly isNew: boolean;
  /** Whether its branch has to be made. */
  readonly isNewBranch: boolean;
  /** There, or to be made. */
  readonly visibility: Visibility;
  /** Of the branch; undefined for a new repository. */
  readonly state: BranchState | undefined;
  /** What the user should know. */
  readonly notes: readonly string[];
}

/** A branch as it is now. */
export interface BranchState {
  readonly commit: string;
  readonly listed: readonly SourceFile[];
  /** It is not there yet, and will begin with what `main` has. */
  readonly isNewBranch: boolean;
  /** Its page. */
  readonly card: string | undefined;
}

/** What a push reports. */
export type PushEvent =
  | {
      readonly kind: 'verifying';
      readonly file: string;
      readonly doneBytes: number;
      readonly totalBytes: number;
    }
  | { readonly kind: 'created' }
  /** Bytes of large files since the push began. */
  | { readonly kind: 'uploading'; readonly doneBytes: number; readonly totalBytes: number }
  | { readonly kind: 'committed'; readonly files: readonly string[] }
  | { readonly kind: 'done'; readonly commit: string; readonly isUnchanged: boolean };

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
 * Looks at a repository and a branch. Changes nothing.
 * @throws TacoError `bad-config`, `forbidden`, `not-found`, `network`
 */
export async function planRepository(
  type: HubRepository['type'],
  { hub, repository: name, branch, visibility, signal }: PushTargetOptions,
): Promise<PlannedRepository> {
  checkRepositoryName(name);
  if (/^[0-9a-f]{40}$/.test(branch)) {
    throw new TacoError(`--revision is the commit ${branch}; expected a branch, which can take new ones`, {
      code: 'bad-config',
      stage: 'push',
    });
  }
  const account = await hub.requireAccount();
  const repository: HubRepository = { type, name };
  const there = await hub.describe(repository);
  const notes: string[] = [];
  const settings = `${pageOf({ endpoint: hub.endpoint, type, repository: name })}/settings`;
  // What is there decides; nobody's private repository becomes public by a push, nor private data public.
  if (there?.isPrivate === false && visibility === 'private') {
    throw new TacoError(
      `${name} is public, --private was given; make it private at ${settings}, or leave --private out`,
      { code: 'bad-config', stage: 'push', path: name },
    );
  }
  if (there?.isPrivate === true && visibility === 'public') {
    notes.push(`${name} is private and stays so; make it public at ${settings}`);
  }
  const state = there === undefined ? undefined : await branchState({ hub, type, repository: name, branch });
  return {
    type,
    hub,
    branch,
    signal,
    account,
    state,
    notes,
    repository: name,
    isNew: there === undefined,
    isNewBranch: state?.isNewBranch ?? branch !== 'main',
    visibility: there === undefined ? (visibility ?? 'private') : there.isPrivate ? 'private' : 'public',
  };
}

/** The branch as it is now. @throws TacoError `not-found`, `forbidden`, `network` */
async function branchState({
  hub,
  type,
  repository: name,
  branch,
}: Pick<PlannedRepository, 'hub' | 'type' | 'repository' | 'branch'>): Promise<BranchState> {
  const repository: HubRepository = { type, name };
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

/**
 * Makes the repository and the branch where they are missing.
 * @throws TacoError `mismatch` when a private repository was asked for and the Hub made a public one
 */
export async function makeRepository(
  plan: PlannedRepository,
  report: (event: PushEvent) => void,
): Promise<void> {
  const { hub, type, repository: name, branch, isNew, isNewBranch, visibility } = plan;
  const repository: HubRepository = { type, name };
  if (isNew) await hub.create(repository, visibility);
  if (isNew && visibility === 'private') await requirePrivate(hub, repository);
  if (isNewBranch) await hub.createBranch(repository, branch);
  if (isNew || isNewBranch) report({ kind: 'created' });
}

async function requirePrivate(hub: HubWriter, repository: HubRepository): Promise<void> {
  if ((await hub.describe(repository))?.isPrivate === true) return;
  throw new TacoError(
    `the Hub made ${repository.name} public although a private repository was asked for; nothing was uploaded. Make it private in its settings, or give --public`,
    { code: 'mismatch', stage: 'push', path: repository.name },
  );
}

/** Rounds in which somebody else's commits may come in between. */
const MAX_ROUNDS = 5;

/**
 * Brings a branch to where nothing is missing: looks, commits what is, and looks again.
 * @param complete commits something on top of a state; false when nothing was missing
 * @throws TacoError `mismatch` when somebody else writes to the branch all the time; the signal's reason
 */
export async function pushUntilComplete(
  plan: PlannedRepository,
  report: (event: PushEvent) => void,
  complete: (state: BranchState) => Promise<boolean>,
): Promise<void> {
  let isUnchanged = true;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    plan.signal?.throwIfAborted();
    const state = await branchState(plan);
    if (!(await complete(state))) {
      report({ kind: 'done', commit: state.commit, isUnchanged });
      return;
    }
    isUnchanged = false;
  }
  throw new TacoError(
    `${plan.repository} changes while it is pushed to: somebody else writes to ${plan.branch}; run the same command again`,
    { code: 'mismatch', stage: 'push', path: plan.repository },
  );
}
