import { type Answer, contentAnswer, json, refusal } from './answer.ts';
import type { Fault } from './faults.ts';
import type { LoggedRequest } from './log.ts';
import type { Repository, RepositoryType, StoredFile } from './repositories.ts';
import type { Uploads } from './uploads.ts';
import type { XetStore } from './xet.ts';

/** Whose a token is. */
export interface Account {
  readonly name: string;
  readonly organizations?: readonly string[];
  readonly role?: 'read' | 'write';
}

/** How large files are taken: to one address, in parts of `partBytes`, or as Xet. */
export type UploadMode = 'basic' | 'xet' | { readonly partBytes: number };

/** What the routes share. */
export interface HubState {
  readonly repositories: Repository[];
  readonly xet: XetStore;
  /** Of the Hub, `http://127.0.0.1:…`. */
  readonly endpoint: string;
  /** Of its storage, another origin. */
  readonly storage: string;
  /** Tokens that exist. */
  readonly tokens: readonly string[];
  /** What the tokens of those who may write stand for, by token. */
  readonly accounts: Readonly<Record<string, Account>>;
  readonly uploads: Uploads;
  readonly uploadMode: UploadMode;
  readonly pageSize: number;
  /** Large files are announced as Xet files to clients that ask. */
  readonly announceXet: boolean;
  readonly signedUrlTtlMs: number;
  readonly xetTokenTtlMs: number;
  now(): number;
}

/** Named parts of an address. */
export interface Params {
  readonly types?: string;
  readonly name?: string;
  readonly rest?: string;
  readonly revision?: string;
  readonly path?: string;
  readonly hash?: string;
}

export type Handler = (
  state: HubState,
  params: Params,
  request: LoggedRequest,
  context: { readonly query: URLSearchParams; readonly body: Buffer; readonly fault: Fault | undefined },
) => Promise<Answer>;

export interface Route {
  readonly pattern: RegExp;
  readonly handler: Handler;
}

/** Address patterns, most specific first; a revision in `tree` is not encoded and may hold slashes. */
const REPOSITORY = '(?<name>[^/]+/[^/]+)';
export const ROUTES: readonly Route[] = [
  {
    pattern: new RegExp(`^GET /api/(?<types>datasets|models)/${REPOSITORY}/tree/(?<rest>.+)$`),
    handler: tree,
  },
  {
    pattern: new RegExp(`^GET /api/(?<types>datasets|models)/${REPOSITORY}/revision/(?<revision>[^/]+)$`),
    handler: revision,
  },
  {
    pattern: new RegExp(`^POST /api/(?<types>datasets|models)/${REPOSITORY}/paths-info/(?<revision>[^/]+)$`),
    handler: pathsInfo,
  },
  {
    pattern: new RegExp(
      `^GET /api/(?<types>datasets|models)/${REPOSITORY}/xet-read-token/(?<commit>[0-9a-f]{40})$`,
    ),
    handler: xetToken,
  },
  {
    pattern: new RegExp(
      `^GET /api/resolve-cache/(?<types>datasets|models)/${REPOSITORY}/(?<revision>[0-9a-f]{40})/(?<path>.+)$`,
    ),
    handler: smallFile,
  },
  {
    pattern: new RegExp(`^GET /(?<types>datasets)/${REPOSITORY}/resolve/(?<revision>[^/]+)/(?<path>.+)$`),
    handler: resolveFile,
  },
  {
    pattern: new RegExp(`^GET /${REPOSITORY}/resolve/(?<revision>[^/]+)/(?<path>.+)$`),
    handler: resolveFile,
  },
  { pattern: /^GET \/xet-bridge\/(?<hash>[0-9a-f]{64})$/, handler: bridge },
  { pattern: /^GET \/v2\/reconstructions\/(?<hash>[0-9a-f]{64})$/, handler: reconstruction },
  { pattern: /^GET \/xorb\/(?<hash>[0-9a-f]{64})$/, handler: xorb },
];

/** Finds a repository, or the refusal that this client would get. */
export function access(
  state: HubState,
  params: Params,
  request: LoggedRequest,
  forFiles: boolean,
): { repository: Repository } | { refused: Answer } {
  const type: RepositoryType = params.types === 'datasets' ? 'dataset' : 'model';
  const token = request.authorization?.replace(/^Bearer /, '');
  if (token !== undefined && !state.tokens.includes(token)) {
    return { refused: refusal(401, undefined, 'Invalid credentials in Authorization header') };
  }
  const repository = state.repositories.find((r) => r.type === type && r.name === params.name);
  const mayRead = token !== undefined && repository?.allowed.includes(token) === true;
  if (repository === undefined || (repository.access === 'private' && !mayRead)) {
    return { refused: refusal(token === undefined ? 401 : 404, 'RepoNotFound', 'Repository not found') };
  }
  if (repository.access === 'gated' && forFiles && !mayRead) {
    const message = `Access to ${type} ${repository.name} is restricted. You must have access to it.`;
    return { refused: refusal(token === undefined ? 401 : 403, 'GatedRepo', message) };
  }
  return { repository };
}

function commitOf(repository: Repository, name: string): string | undefined {
  const branch = name === 'HEAD' ? 'main' : name;
  return repository.branches.get(branch) ?? (repository.commits.has(branch) ? branch : undefined);
}

export function noRevision(name: string): Answer {
  return refusal(404, 'RevisionNotFound', `Invalid rev id: ${name}`);
}

async function revision(state: HubState, params: Params, request: LoggedRequest): Promise<Answer> {
  const found = access(state, params, request, false);
  if ('refused' in found) return found.refused;
  const { repository } = found;
  const name = decodeURIComponent(params.revision!);
  const commit = commitOf(repository, name);
  if (commit === undefined) return Promise.resolve(noRevision(name));
  return json({
    _id: '621ffdd236468d709f181e0a',
    id: repository.name,
    private: repository.access === 'private',
    gated: repository.access === 'gated' ? 'auto' : false,
    downloads: 0,
    likes: 0,
    lastModified: '2024-01-01T00:00:00.000Z',
    sha: commit,
  });
}

async function tree(
  state: HubState,
  params: Params,
  request: LoggedRequest,
  { query }: { query: URLSearchParams },
): Promise<Answer> {
  const found = access(state, params, request, false);
  if ('refused' in found) return found.refused;
  const { repository } = found;
  const rest = params.rest!;
  const names = [...repository.branches.keys(), ...repository.commits.keys()];
  const name = names.find((candidate) => rest === candidate || rest.startsWith(`${candidate}/`));
  if (name === undefined) return noRevision(rest);
  const folder = rest.slice(name.length + 1);
  const files = [...repository.commits.get(commitOf(repository, name)!)!.values()]
    .filter((file) => folder === '' || file.path.startsWith(`${folder}/`))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  if (files.length === 0 && folder !== '') return refusal(404, 'EntryNotFound', `${folder} does not exist`);
  const entries = await entriesOf(state, files, folder, query.get('recursive') === 'true');
  const offset = Number(query.get('cursor') ?? 0);
  const page = entries.slice(offset, offset + state.pageSize);
  const more = offset + state.pageSize < entries.length;
  query.set('cursor', String(offset + state.pageSize));
  const next = `${state.endpoint}${request.url.split('?')[0]!}?${query.toString()}`;
  return json(page, more ? { Link: `<${next}>; rel="next"` } : {});
}

async function entriesOf(
  state: HubState,
  files: readonly StoredFile[],
  folder: string,
  recursive: boolean,
): Promise<readonly object[]> {
  const entries: object[] = [];
  const folders = new Set<string>();
  const depth = folder === '' ? 0 : folder.split('/').length;
  for (const file of files) {
    const parts = file.path.split('/');
    for (let length = depth + 1; length < parts.length && (recursive || length === depth + 1); length++) {
      const path = parts.slice(0, length).join('/');
      if (folders.has(path)) continue;
      folders.add(path);
      entries.push({ type: 'directory', oid: '0'.repeat(40), size: 0, path });
    }
    if (recursive || parts.length === depth + 1) entries.push(await entryOf(state, file));
  }
  return entries;
}

async function entryOf(state: HubState, file: StoredFile): Promise<object> {
  const digest = await file.digest();
  const base = { type: 'file', size: file.size, path: file.path };
  if (!file.isLarge) return { ...base, oid: digest };
  const lfs = { oid: digest, size: file.size, pointerSize: 134 };
  return { ...base, oid: digest.slice(0, 40), lfs, xetHash: await state.xet.add(file) };
}

async function pathsInfo(
  state: HubState,
  params: Params,
  request: LoggedRequest,
  { body }: { body: Buffer },
): Promise<Answer> {
  const found = access(state, params, request, false);
  if ('refused' in found) return found.refused;
  const name = decodeURIComponent(params.revision!);
  const commit = commitOf(found.repository, name);
  if (commit === undefined) return noRevision(name);
  const { paths } = JSON.parse(body.toString()) as { paths: string[] };
  const files = paths.map((path) => found.repository.commits.get(commit)!.get(path));
  return json(await Promise.all(files.flatMap((file) => (file === undefined ? [] : [entryOf(state, file)]))));
}

async function resolveFile(state: HubState, params: Params, request: LoggedRequest): Promise<Answer> {
  const found = access(state, { ...params, types: params.types ?? 'models' }, request, true);
  if ('refused' in found) return found.refused;
  const { repository } = found;
  const name = decodeURIComponent(params.revision!);
  const commit = commitOf(repository, name);
  if (commit === undefined) return noRevision(name);
  const path = decodeURIComponent(params.path!);
  const file = repository.commits.get(commit)!.get(path);
  if (file === undefined) return refusal(404, 'EntryNotFound', 'Entry not found');
  const id = `${repository.type}s/${repository.name}`;
  const digest = await file.digest();
  if (!file.isLarge) {
    const headers = { Location: `/api/resolve-cache/${id}/${commit}/${path}`, 'X-Repo-Commit': commit };
    return { status: 307, headers, body: new Uint8Array(0) };
  }
  const hash = await state.xet.add(file);
  const headers = {
    'X-Repo-Commit': commit,
    'X-Linked-Size': String(file.size),
    'X-Linked-ETag': `"${digest}"`,
    'X-Xet-Hash': hash,
    'Accept-Ranges': 'bytes',
    Link:
      `<${state.endpoint}/api/${id}/xet-read-token/${commit}>; rel="xet-auth", ` +
      `<${state.storage}/v1/reconstructions/${hash}>; rel="xet-reconstruction-info"`,
  };
  if (state.announceXet && request.accept?.includes('application/vnd.xet-fileinfo+json') === true) {
    return {
      status: 200,
      headers: { ...headers, 'Content-Type': 'application/vnd.xet-fileinfo+json' },
      body: Buffer.from('{}'),
    };
  }
  const expires = Math.floor((state.now() + state.signedUrlTtlMs) / 1000);
  const location = `${state.storage}/xet-bridge/${hash}?Expires=${expires}&Signature=test`;
  return { status: 302, headers: { ...headers, Location: location }, body: new Uint8Array(0) };
}

async function smallFile(
  state: HubState,
  params: Params,
  request: LoggedRequest,
  { fault }: { fault: Fault | undefined },
): Promise<Answer> {
  const found = access(state, params, request, true);
  if ('refused' in found) return found.refused;
  const file = found.repository.commits.get(params.revision!)?.get(decodeURIComponent(params.path!));
  if (file === undefined) return refusal(404, 'EntryNotFound', 'Entry not found');
  return contentAnswer(file, request.range, { ETag: `"${await file.digest()}"` }, fault);
}

async function bridge(
  state: HubState,
  params: Params,
  request: LoggedRequest,
  { query, fault }: { query: URLSearchParams; fault: Fault | undefined },
): Promise<Answer> {
  const refused = refuseSigned(state, request, query);
  if (refused !== undefined) return Promise.resolve(refused);
  const hash = params.hash!;
  const file = state.xet.file(hash);
  if (file === undefined) return refusal(404, undefined, 'no such object');
  return contentAnswer(file, request.range, { ETag: `"${hash}"` }, fault);
}

async function xetToken(state: HubState, params: Params, request: LoggedRequest): Promise<Answer> {
  const found = access(state, params, request, true);
  if ('refused' in found) return Promise.resolve(found.refused);
  const exp = Math.floor((state.now() + state.xetTokenTtlMs) / 1000);
  return json({ accessToken: `xet.${exp}`, exp, casUrl: state.storage });
}

async function reconstruction(state: HubState, params: Params, request: LoggedRequest): Promise<Answer> {
  const expires = /^Bearer xet\.(\d+)$/.exec(request.authorization ?? '')?.[1];
  if (expires === undefined || Number(expires) * 1000 < state.now()) {
    return Promise.resolve(refusal(401, undefined, 'invalid or expired token'));
  }
  const hash = params.hash!;
  const size = state.xet.file(hash)?.size ?? 0;
  const match = /^bytes=(\d+)-(\d+)$/.exec(request.range ?? '');
  const start = Number(match?.[1] ?? 0);
  const end = Math.min(Number(match?.[2] ?? size - 1) + 1, size);
  const signature = `Expires=${Math.floor((state.now() + state.signedUrlTtlMs) / 1000)}&Signature=test`;
  const urlOf = (xorbHash: string) => `${state.storage}/xorb/${xorbHash}?${signature}`;
  const answer = state.xet.reconstruction(hash, start, end, urlOf);
  return answer === undefined ? refusal(404, undefined, 'no such file') : json(answer);
}

async function xorb(
  state: HubState,
  params: Params,
  request: LoggedRequest,
  { query, fault }: { query: URLSearchParams; fault: Fault | undefined },
): Promise<Answer> {
  const refused = refuseSigned(state, request, query);
  if (refused !== undefined) return Promise.resolve(refused);
  const content = state.xet.xorb(params.hash!);
  if (content === undefined) return refusal(404, undefined, 'no such xorb');
  return contentAnswer(content, request.range, {}, fault);
}

/** Storage takes its own signature or nothing: a token that was sent along is an error, as it is with S3. */
export function refuseSigned(
  state: HubState,
  request: LoggedRequest,
  query: URLSearchParams,
): Answer | undefined {
  if (request.authorization !== undefined) {
    return refusal(400, undefined, 'Only one auth mechanism allowed');
  }
  const expired = Number(query.get('Expires')) * 1000 < state.now();
  return expired ? refusal(403, undefined, 'Request has expired') : undefined;
}
