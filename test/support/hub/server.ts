import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Answer, refusal, send } from './answer.ts';
import { type FaultRule, Faults } from './faults.ts';
import type { LoggedRequest, Route } from './log.ts';
import {
  commitTo,
  type Repository,
  type RepositorySpec,
  repositoriesIn,
  repositoryFrom,
} from './repositories.ts';
import { type Account, type HubState, ROUTES, type UploadMode } from './routes.ts';
import { UPLOAD_ROUTES } from './upload-routes.ts';
import { Uploads } from './uploads.ts';
import { XetStore } from './xet.ts';

export interface TestHubOptions {
  /** Folder laid out as `datasets/<org>/<name>/<revision>/<path>` and `models/…`. */
  readonly root?: string;
  readonly repositories?: readonly RepositorySpec[];
  readonly faults?: readonly FaultRule[];
  /** Tokens that exist; others are refused. */
  readonly tokens?: readonly string[];
  /** Tokens that may write, and whose they are. */
  readonly accounts?: Readonly<Record<string, Account>>;
  /** How large files are taken: `basic` unless given. */
  readonly uploadMode?: UploadMode;
  /** Entries a page of a listing, 1,000 as on the Hub unless given. */
  readonly pageSize?: number;
  readonly announceXet?: boolean;
  readonly signedUrlTtlMs?: number;
  readonly xetTokenTtlMs?: number;
  /** Requests a window of 300 s for each quota; none unless given. */
  readonly quotas?: Readonly<Partial<Record<'api' | 'resolvers', number>>>;
  readonly now?: () => number;
  readonly port?: number;
}

export interface TestHub {
  /** For `HF_ENDPOINT`. */
  readonly endpoint: string;
  /** Every request so far, in order. */
  readonly requests: readonly LoggedRequest[];
  /** Orders a fault for requests to come. */
  fail(rule: FaultRule): void;
  clearFaults(): void;
  /** Number of requests of a route, or all. */
  count(route?: Route): number;
  bytesSent(): number;
  resetLog(): void;
  /** The files that a branch has now, by path; undefined without such a repository or branch. */
  filesOf(repository: string, revision?: string): Promise<ReadonlyMap<string, Buffer> | undefined>;
  /** Whether a repository is private. */
  isPrivate(repository: string): boolean;
  /** Moves a branch; returns the new commit. */
  commit(repository: string, revision: string, files: Readonly<Record<string, Uint8Array | string>>): string;
  close(): Promise<void>;
}

const WINDOW_MS = 300_000;

/**
 * A server that speaks the Hub's protocol on the loopback: listing with pages, revisions, resolving in its three
 * forms with redirects to another origin, Xet, rate limits, and faults on demand.
 */
export async function startTestHub(options: TestHubOptions = {}): Promise<TestHub> {
  const repositories: Repository[] = [
    ...(options.root === undefined ? [] : await repositoriesIn(options.root)),
    ...(options.repositories ?? []).map(repositoryFrom),
  ];
  const faults = new Faults();
  for (const rule of options.faults ?? []) faults.add(rule);
  const requests: LoggedRequest[] = [];
  const windows = new Map<Route, { start: number; used: number }>();
  const now = options.now ?? Date.now;

  const server = createServer((request, response) => {
    void handle(request, response);
  });
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the test Hub has no port');
  const state: HubState = {
    repositories,
    xet: new XetStore(),
    endpoint: `http://127.0.0.1:${address.port}`,
    storage: `http://localhost:${address.port}`,
    tokens: [...(options.tokens ?? []), ...Object.keys(options.accounts ?? {})],
    accounts: options.accounts ?? {},
    uploads: new Uploads(),
    uploadMode: options.uploadMode ?? 'basic',
    pageSize: options.pageSize ?? 1000,
    announceXet: options.announceXet ?? true,
    signedUrlTtlMs: options.signedUrlTtlMs ?? 3_600_000,
    xetTokenTtlMs: options.xetTokenTtlMs ?? 3_600_000,
    now,
  };

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const log: LoggedRequest = {
      method: request.method ?? 'GET',
      url: request.url ?? '/',
      host: request.headers.host ?? '',
      route: routeOf(request.url ?? '/'),
      range: request.headers.range,
      authorization: request.headers.authorization,
      accept: request.headers.accept,
      status: 0,
      bytesSent: 0,
      bytesReceived: 0,
    };
    requests.push(log);
    const fault = faults.take(log);
    try {
      const body = await bodyOf(request);
      log.bytesReceived = body.length;
      const answer = fault?.kind === 'status' ? statusAnswer(fault) : await answerTo(log, body, fault);
      send(request, response, answer, fault, log);
    } catch (error) {
      send(request, response, refusal(500, undefined, String(error)), undefined, log);
    }
  }

  async function answerTo(
    log: LoggedRequest,
    body: Buffer,
    fault: ReturnType<Faults['take']>,
  ): Promise<Answer> {
    const limited = overQuota(log.route);
    if (limited !== undefined) return limited;
    const { pathname, searchParams } = new URL(log.url, state.endpoint);
    for (const { pattern, handler } of [...ROUTES, ...UPLOAD_ROUTES]) {
      const match = pattern.exec(`${log.method} ${pathname}`);
      if (match !== null) {
        const answer = await handler(state, match.groups ?? {}, log, { query: searchParams, body, fault });
        return answer;
      }
    }
    return refusal(404, undefined, `no route for ${log.method} ${pathname}`);
  }

  function overQuota(route: Route): Answer | undefined {
    const quota = route === 'api' || route === 'resolvers' ? options.quotas?.[route] : undefined;
    if (quota === undefined) return undefined;
    let window = windows.get(route);
    if (window === undefined || now() - window.start >= WINDOW_MS) {
      window = { start: now(), used: 0 };
      windows.set(route, window);
    }
    window.used += 1;
    if (window.used <= quota) return undefined;
    const seconds = Math.ceil((window.start + WINDOW_MS - now()) / 1000);
    const limited = refusal(429, undefined, 'We had to rate limit your IP');
    return {
      ...limited,
      headers: {
        ...limited.headers,
        RateLimit: `"${route}";r=0;t=${seconds}`,
        'RateLimit-Policy': `"fixed window";"${route}";q=${quota};w=300`,
      },
    };
  }

  return {
    endpoint: state.endpoint,
    requests,
    fail: (rule) => {
      faults.add(rule);
    },
    clearFaults: () => {
      faults.clear();
    },
    count: (route) => requests.filter((request) => route === undefined || request.route === route).length,
    bytesSent: () => requests.reduce((sum, request) => sum + request.bytesSent, 0),
    resetLog: () => {
      requests.length = 0;
    },
    async filesOf(name, revision = 'main') {
      const repository = repositories.find((candidate) => candidate.name === name);
      const files = repository?.commits.get(repository.branches.get(revision) ?? '');
      if (files === undefined) return undefined;
      const contents = [...files.values()].map(
        async (file) => [file.path, Buffer.from(await file.read(0, file.size))] as const,
      );
      return new Map(await Promise.all(contents));
    },
    isPrivate: (name) => repositories.find((candidate) => candidate.name === name)?.access === 'private',
    commit(name, revision, files) {
      const repository = repositories.find((candidate) => candidate.name === name);
      if (repository === undefined) throw new Error(`the test Hub has no ${name}`);
      return commitTo(repository, revision, files);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

function routeOf(url: string): Route {
  const path = url.split('?')[0]!;
  if (path.startsWith('/api/') && !path.startsWith('/api/resolve-cache/')) return 'api';
  if (path.includes('/resolve/') || path.startsWith('/api/resolve-cache/')) return 'resolvers';
  if (/^\/(?:xet-bridge|xorb|upload)\//.test(path)) return 'cdn';
  return /\/reconstructions\/|^\/v1\//.test(path) ? 'cas' : path.includes('/info/lfs/') ? 'api' : 'unknown';
}

function statusAnswer(fault: Extract<NonNullable<ReturnType<Faults['take']>>, { kind: 'status' }>): Answer {
  return { status: fault.status, headers: { ...fault.headers }, body: Buffer.from(fault.body ?? '') };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const blocks: Uint8Array[] = [];
  for await (const block of request as AsyncIterable<Uint8Array>) blocks.push(block);
  return Buffer.concat(blocks);
}
