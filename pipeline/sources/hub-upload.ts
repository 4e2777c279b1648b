import { pathToFileURL } from 'node:url';
import {
  type CommitOperation,
  commitIter,
  createBranch,
  createRepo,
  datasetInfo,
  HubApiError,
  modelInfo,
  whoAmI,
} from '@huggingface/hub';
import { messageOf, TacoError } from '../errors.ts';
import {
  type Hub,
  type HubConnection,
  type HubRepository,
  type HubTuning,
  connectHub,
  readingHub,
} from './hub-client.ts';
import { HubStatusError, hubError } from './hub-errors.ts';
import type { SourceContext } from './source.ts';

/** A file to be uploaded: on disk, or in memory. */
export interface UploadFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly content: { readonly localPath: string } | Uint8Array<ArrayBuffer>;
}

export interface HubCommit {
  readonly branch: string;
  readonly title: string;
  readonly add: readonly UploadFile[];
  /** Paths to delete. */
  readonly remove: readonly string[];
  /** Only on top of this commit; otherwise `commit` gives undefined. */
  readonly parent?: string;
  /** How much of `add` has arrived, whenever that changes. */
  readonly onProgress?: (doneBytes: number) => void;
}

/** The Hub for reading and writing, with a token. */
export interface HubWriter extends Hub {
  /**
   * Checks the token.
   * @returns name of its account
   * @throws TacoError `forbidden` when it is refused or may only read
   */
  requireAccount(): Promise<string>;
  /** Undefined for one that is not there, or that the token may not see. */
  describe(repository: HubRepository): Promise<{ readonly isPrivate: boolean } | undefined>;
  /** @throws TacoError `forbidden` naming what the Hub said */
  create(repository: HubRepository, visibility: 'private' | 'public'): Promise<void>;
  /** A branch that begins where `main` is. */
  createBranch(repository: HubRepository, branch: string): Promise<void>;
  /**
   * Uploads files and commits them together.
   * @returns the commit; undefined when the branch has moved on from `parent`
   */
  commit(repository: HubRepository, commit: HubCommit): Promise<string | undefined>;
}

/** The Hub answers a large commit late. */
const HEADERS_TIMEOUT_MS = 120_000;

/** @throws TacoError `bad-config` without a token, or for an endpoint or token that cannot be one */
export function createHubWriter(context: SourceContext, tuning: HubTuning = {}): HubWriter {
  let onSent: (bytes: number) => void = () => undefined;
  const connection = connectHub(context, {
    headersTimeoutMs: HEADERS_TIMEOUT_MS,
    ...tuning,
    onSent: (bytes) => {
      onSent(bytes);
    },
  });
  const { accessToken, base, endpoint } = connection;
  if (accessToken === undefined) {
    throw new TacoError(
      `HF_TOKEN is not set; make a token with write permission at ${endpoint}/settings/tokens`,
      { code: 'bad-config', stage: 'push' },
    );
  }
  const params = { ...base, accessToken };
  const fail = (error: unknown, repository: HubRepository, revision?: string): Error => {
    context.signal?.throwIfAborted();
    return hubError(withoutAddress(error), {
      ...connection.subjectOf(repository, revision),
      action: 'write to',
    });
  };

  return {
    ...readingHub(connection, context.signal),

    requireAccount: () => requireAccount(connection, params),

    async describe(repository) {
      try {
        const { type, name } = repository;
        const named = { ...params, name };
        const info = type === 'dataset' ? await datasetInfo(named) : await modelInfo(named);
        return { isPrivate: info.private };
      } catch (error) {
        const isAbsent =
          error instanceof HubStatusError && (error.status === 404 || error.errorCode === 'RepoNotFound');
        if (isAbsent) return undefined;
        throw fail(error, repository);
      }
    },

    async create(repository, visibility) {
      try {
        await createRepo({ ...params, repo: repository, visibility });
      } catch (error) {
        if (error instanceof HubStatusError && error.status === 409) return; // a lost answer, or somebody's race
        throw creationError(error, repository, endpoint) ?? fail(error, repository);
      }
    },

    async createBranch(repository, branch) {
      try {
        await createBranch({ ...params, repo: repository, branch });
      } catch (error) {
        if (error instanceof HubStatusError && error.status === 409) return;
        throw fail(error, repository, branch);
      }
    },

    async commit(repository, { branch, title, add, remove, parent, onProgress }) {
      const progress = new CommitProgress(add, onProgress);
      onSent = (bytes) => {
        progress.sent(bytes);
      };
      const operations: CommitOperation[] = [
        ...add.map(({ path, content }) => ({
          operation: 'addOrUpdate' as const,
          path,
          content: content instanceof Uint8Array ? new Blob([content]) : pathToFileURL(content.localPath),
        })),
        ...remove.map((path) => ({ operation: 'delete' as const, path })),
      ];
      const events = commitIter({
        ...params,
        repo: repository,
        branch,
        title,
        operations,
        ...(parent === undefined ? {} : { parentCommit: parent }),
        ...(context.signal === undefined ? {} : { abortSignal: context.signal }),
      });
      try {
        let step = await events.next();
        for (; step.done !== true; step = await events.next()) {
          const event = step.value;
          if (event.event === 'fileProgress' && event.state === 'uploading') {
            progress.reached(event.path, event.progress);
          }
        }
        if (step.value === undefined) throw new Error('the Hub named no commit');
        return step.value.commit.oid;
      } catch (error) {
        if (parent !== undefined && error instanceof HubStatusError && error.status === 412) return undefined;
        throw fail(error, repository, branch);
      } finally {
        onSent = () => undefined;
      }
    },
  };
}

async function requireAccount(
  { endpoint }: HubConnection,
  params: Parameters<typeof whoAmI>[0],
): Promise<string> {
  const settings = `${endpoint}/settings/tokens`;
  try {
    const { name, auth } = await whoAmI(params);
    if (auth.accessToken?.role === 'read') {
      throw new TacoError(
        `HF_TOKEN of ${name} may only read; make one with write permission at ${settings}`,
        { code: 'forbidden', stage: 'push' },
      );
    }
    return name;
  } catch (error) {
    if (error instanceof HubStatusError && (error.status === 401 || error.status === 403)) {
      throw new TacoError(
        `HF_TOKEN is not valid (the Hub answered ${error.status}: ${error.message}); make a new one at ${settings}`,
        { code: 'forbidden', stage: 'push', cause: error },
      );
    }
    if (error instanceof TacoError) throw error;
    throw new TacoError(`cannot ask ${endpoint} for the account of HF_TOKEN: ${messageOf(error)}`, {
      code: 'network',
      stage: 'push',
      cause: error,
    });
  }
}

function creationError(
  error: unknown,
  { type, name }: HubRepository,
  endpoint: string,
): TacoError | undefined {
  if (!(error instanceof HubStatusError) || (error.status !== 403 && error.status !== 404)) return undefined;
  const namespace = name.split('/')[0]!;
  return new TacoError(
    `cannot create ${type} ${name} (the Hub answered ${error.status}: ${error.message}); check that ${namespace} is your account or an organisation you may write to, and that the token may: ${endpoint}/settings/tokens`,
    { code: 'forbidden', stage: 'push', path: name, cause: error },
  );
}

/** The client puts the address into its messages, with signatures and all. */
function withoutAddress(error: unknown): unknown {
  if (!(error instanceof HubApiError)) return error;
  return new Error(error.message.replace(/\.?\s*URL: .*$/s, ''), { cause: error });
}

/** How much of a commit has arrived: by what was sent, or by what the client says, whichever is further. */
class CommitProgress {
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #totalBytes: number;
  readonly #onProgress: ((doneBytes: number) => void) | undefined;
  readonly #reached = new Map<string, number>();
  #sentBytes = 0;

  constructor(files: readonly UploadFile[], onProgress: ((doneBytes: number) => void) | undefined) {
    this.#sizes = new Map(files.map(({ path, sizeBytes }) => [path, sizeBytes]));
    this.#totalBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.#onProgress = onProgress;
  }

  sent(bytes: number): void {
    this.#sentBytes += bytes;
    this.#report();
  }

  reached(path: string, share: number): void {
    this.#reached.set(path, share * (this.#sizes.get(path) ?? 0));
    this.#report();
  }

  #report(): void {
    const reached = [...this.#reached.values()].reduce((sum, bytes) => sum + bytes, 0);
    this.#onProgress?.(Math.min(this.#totalBytes, Math.max(reached, this.#sentBytes)));
  }
}
