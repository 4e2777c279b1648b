import { createHash } from 'node:crypto';
import { type Answer, json, refusal } from './answer.ts';
import type { LoggedRequest } from './log.ts';
import {
  isLargeFile,
  memoryFile,
  type Repository,
  register,
  repositoryFrom,
  type StoredFile,
} from './repositories.ts';
import type { HubState, Params, Route } from './routes.ts';
import { access, noRevision, refuseSigned } from './routes.ts';
import { fileOfShard } from './xet-upload.ts';

/** The side of the Hub that takes files: accounts, repositories, branches, uploads, commits. */
const REPOSITORY = '(?<name>[^/]+/[^/]+)';
const API = `/api/(?<types>datasets|models)/${REPOSITORY}`;

export const UPLOAD_ROUTES: readonly Route[] = [
  { pattern: /^GET \/api\/whoami-v2$/, handler: whoAmI },
  { pattern: /^POST \/api\/repos\/create$/, handler: create },
  { pattern: new RegExp(`^POST ${API}/branch/(?<revision>[^/]+)$`), handler: createBranch },
  { pattern: new RegExp(`^POST ${API}/preupload/(?<revision>[^/]+)$`), handler: preupload },
  { pattern: new RegExp(`^POST ${API}/commit/(?<revision>[^/]+)$`), handler: commit },
  {
    pattern: new RegExp(`^POST /(?:(?<types>datasets)/)?${REPOSITORY}\\.git/info/lfs/objects/batch$`),
    handler: lfsBatch,
  },
  { pattern: /^PUT \/upload\/(?<hash>[0-9a-f]{64})$/, handler: putWhole },
  { pattern: /^PUT \/upload\/(?<hash>[0-9a-f]{64})\/(?<path>\d+)$/, handler: putPart },
  { pattern: /^POST \/upload\/(?<hash>[0-9a-f]{64})\/complete$/, handler: completeParts },
  { pattern: /^GET \/v1\/chunks\/[^/]+\/(?<hash>[0-9a-f]{64})$/, handler: knownChunk },
  { pattern: /^POST \/v1\/xorbs\/default\/(?<hash>[0-9a-f]{64})$/, handler: putXorb },
  { pattern: /^POST \/v1\/shards$/, handler: putShard },
];

/** What the Hub puts into a new repository, in part. */
const GIT_ATTRIBUTES = ['*.parquet', '*.safetensors', '*.onnx']
  .map((pattern) => `${pattern} filter=lfs diff=lfs merge=lfs -text\n`)
  .join('');

interface Context {
  readonly query: URLSearchParams;
  readonly body: Buffer;
}

function tokenOf(request: LoggedRequest): string | undefined {
  return request.authorization?.replace(/^Bearer /, '');
}

function whoAmI(state: HubState, _params: Params, request: LoggedRequest): Promise<Answer> {
  const account = state.accounts[tokenOf(request) ?? ''];
  if (account === undefined) {
    return Promise.resolve(refusal(401, undefined, 'Invalid credentials in Authorization header'));
  }
  const { name, organizations = [], role = 'write' } = account;
  const orgs = organizations.map((org) => ({ type: 'org', name: org }));
  const auth = { type: 'access_token', accessToken: { displayName: 'test', role } };
  return Promise.resolve(json({ type: 'user', id: '1', name, orgs, auth }));
}

/** The refusal for a token that may not write to a namespace. */
function refuseWriting(state: HubState, request: LoggedRequest, namespace: string): Answer | undefined {
  const account = state.accounts[tokenOf(request) ?? ''];
  if (account === undefined) return refusal(401, undefined, 'Invalid credentials in Authorization header');
  const { name, organizations = [], role = 'write' } = account;
  if (role === 'write' && [name, ...organizations].includes(namespace)) return undefined;
  return refusal(403, undefined, `You don't have the rights to write under the namespace "${namespace}"`);
}

function create(
  state: HubState,
  _params: Params,
  request: LoggedRequest,
  { body }: Context,
): Promise<Answer> {
  const { name, organization, type, visibility } = JSON.parse(body.toString()) as Record<string, string>;
  const refused = refuseWriting(state, request, organization!);
  if (refused !== undefined) return Promise.resolve(refused);
  const full = `${organization!}/${name!}`;
  if (state.repositories.some((repository) => repository.type === type && repository.name === full)) {
    return Promise.resolve(refusal(409, undefined, `You already created this ${type!} repo`));
  }
  state.repositories.push(
    repositoryFrom({
      type: type === 'model' ? 'model' : 'dataset',
      name: full,
      revisions: { main: { '.gitattributes': GIT_ATTRIBUTES } },
      access: visibility === 'private' ? 'private' : 'public',
      allowed: [tokenOf(request)!],
    }),
  );
  return Promise.resolve(
    json({ url: `${state.endpoint}/${type === 'model' ? '' : 'datasets/'}${full}`, name: full, id: full }),
  );
}

function writable(
  state: HubState,
  params: Params,
  request: LoggedRequest,
): { repository: Repository } | { refused: Answer } {
  const found = access(state, params, request, true);
  if ('refused' in found) return found;
  const refused = refuseWriting(state, request, params.name!.split('/')[0]!);
  return refused === undefined ? found : { refused };
}

function createBranch(state: HubState, params: Params, request: LoggedRequest): Promise<Answer> {
  const found = writable(state, params, request);
  if ('refused' in found) return Promise.resolve(found.refused);
  const { branches } = found.repository;
  const branch = decodeURIComponent(params.revision!);
  if (branches.has(branch)) return Promise.resolve(refusal(409, undefined, 'Reference already exists'));
  branches.set(branch, branches.get('main')!);
  return Promise.resolve(json({}));
}

function preupload(
  state: HubState,
  params: Params,
  request: LoggedRequest,
  { body }: Context,
): Promise<Answer> {
  const found = writable(state, params, request);
  if ('refused' in found) return Promise.resolve(found.refused);
  const { files } = JSON.parse(body.toString()) as { files: { path: string; size: number }[] };
  const modes = files.map(({ path, size }) => ({
    path,
    uploadMode: isLargeFile(path, size) ? 'lfs' : 'regular',
    shouldIgnore: false,
  }));
  return Promise.resolve(json({ files: modes }));
}

interface LfsObject {
  readonly oid: string;
  readonly size: number;
}

function lfsBatch(
  state: HubState,
  params: Params,
  request: LoggedRequest,
  { body }: Context,
): Promise<Answer> {
  const found = writable(state, params, request);
  if ('refused' in found) return Promise.resolve(found.refused);
  const { objects, transfers } = JSON.parse(body.toString()) as {
    objects: LfsObject[];
    transfers: string[];
  };
  const mode = state.uploadMode === 'xet' && !transfers.includes('xet') ? 'basic' : state.uploadMode;
  const transfer = typeof mode === 'string' ? mode : 'multipart';
  const answers = objects.map((object) => {
    if (state.uploads.has(object.oid)) return object;
    return {
      ...object,
      actions: { upload: actionOf(state, `${params.types ?? 'models'}/${params.name!}`, object) },
    };
  });
  return Promise.resolve(json({ transfer, objects: answers }));
}

function actionOf(state: HubState, repository: string, { oid, size }: LfsObject): object {
  const expires = Math.floor((state.now() + state.signedUrlTtlMs) / 1000);
  const signature = `?Expires=${expires}&Signature=test`;
  const address = `${state.storage}/upload/${oid}`;
  if (state.uploadMode === 'xet') {
    const header = {
      'X-Xet-Cas-Url': state.storage,
      'X-Xet-Access-Token': 'xet.write',
      'X-Xet-Token-Expiration': String(Math.floor((state.now() + state.xetTokenTtlMs) / 1000)),
      'X-Xet-Session-Id': 'session',
    };
    return { href: `${state.endpoint}/api/${repository}/xet-write-token/main`, header };
  }
  if (state.uploadMode === 'basic') return { href: address + signature };
  const { partBytes } = state.uploadMode;
  const parts = Array.from({ length: Math.ceil(size / partBytes) }, (_, index) => [
    String(index + 1).padStart(5, '0'),
    `${address}/${index + 1}${signature}`,
  ]);
  const header = { chunk_size: String(partBytes), ...(Object.fromEntries(parts) as object) };
  return { href: `${address}/complete`, header };
}

const taken: Answer = { status: 200, headers: { ETag: '"part"' }, body: new Uint8Array(0) };
const notAnnounced = (): Answer => refusal(400, undefined, 'BadDigest');

function putWhole(
  state: HubState,
  { hash }: Params,
  request: LoggedRequest,
  { query, body }: Context,
): Promise<Answer> {
  const refused = refuseSigned(state, request, query);
  return Promise.resolve(refused ?? (state.uploads.put(hash!, body) ? taken : notAnnounced()));
}

function putPart(
  state: HubState,
  { hash, path }: Params,
  request: LoggedRequest,
  { query, body }: Context,
): Promise<Answer> {
  const refused = refuseSigned(state, request, query);
  if (refused === undefined) state.uploads.putPart(hash!, Number(path), body);
  return Promise.resolve(refused ?? taken);
}

function completeParts(state: HubState, { hash }: Params): Promise<Answer> {
  return Promise.resolve(state.uploads.complete(hash!) ? json({}) : notAnnounced());
}

function refuseCas(request: LoggedRequest): Answer | undefined {
  return tokenOf(request) === 'xet.write' ? undefined : refusal(401, undefined, 'invalid or expired token');
}

/** No chunk is known beforehand: everything is sent. */
function knownChunk(_state: HubState, _params: Params, request: LoggedRequest): Promise<Answer> {
  return Promise.resolve(refuseCas(request) ?? refusal(404, undefined, 'no such chunk'));
}

function putXorb(
  state: HubState,
  { hash }: Params,
  request: LoggedRequest,
  { body }: Context,
): Promise<Answer> {
  const refused = refuseCas(request);
  if (refused !== undefined) return Promise.resolve(refused);
  state.xet.keepXorb(hash!, body);
  return Promise.resolve(json({ was_inserted: true }));
}

/** Files are put together from their xorbs; their sha256 must be the one that the shard names. */
function putShard(
  state: HubState,
  _params: Params,
  request: LoggedRequest,
  { body }: Context,
): Promise<Answer> {
  const refused = refuseCas(request);
  if (refused !== undefined) return Promise.resolve(refused);
  for (const { sha256, bytes } of fileOfShard(body, (hash) => state.xet.uploadedXorb(hash))) {
    if (!state.uploads.put(sha256, bytes)) return Promise.resolve(notAnnounced());
  }
  return Promise.resolve(json({ result: 1 }));
}

interface CommitLine {
  readonly key: 'header' | 'file' | 'lfsFile' | 'deletedFile';
  readonly value: {
    readonly path: string;
    readonly content: string;
    readonly oid: string;
    readonly parentCommit?: string;
    readonly summary?: string;
  };
}

function commit(state: HubState, params: Params, request: LoggedRequest, { body }: Context): Promise<Answer> {
  const found = writable(state, params, request);
  if ('refused' in found) return Promise.resolve(found.refused);
  const { repository } = found;
  const branch = decodeURIComponent(params.revision!);
  const head = repository.branches.get(branch);
  if (head === undefined) return Promise.resolve(noRevision(branch));
  const lines = body
    .toString()
    .split('\n')
    .map((line) => JSON.parse(line) as CommitLine);
  const parent = lines[0]!.value.parentCommit;
  if (parent !== undefined && parent !== head) {
    return Promise.resolve(
      refusal(412, undefined, 'A commit has happened since. Please refresh and try again.'),
    );
  }
  const files = new Map<string, StoredFile>(repository.commits.get(head));
  for (const { key, value } of lines) {
    if (key === 'deletedFile' && !files.delete(value.path)) {
      return Promise.resolve(refusal(400, undefined, `${value.path} does not exist`));
    }
    if (key === 'file')
      files.set(value.path, memoryFile(value.path, Buffer.from(value.content, 'base64'), false));
    if (key !== 'lfsFile') continue;
    const content = state.uploads.get(value.oid);
    if (content === undefined) {
      return Promise.resolve(refusal(400, undefined, `LFS object ${value.oid} was not uploaded`));
    }
    files.set(value.path, memoryFile(value.path, content, true));
  }
  const oid = createHash('sha1').update(head).update(body).digest('hex');
  register(repository, branch, oid, files);
  const folder = repository.type === 'model' ? '' : 'datasets/';
  const commitUrl = `${state.endpoint}/${folder}${repository.name}/commit/${oid}`;
  return Promise.resolve(json({ success: true, commitOid: oid, commitUrl, hookOutput: '' }));
}
