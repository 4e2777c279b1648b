import {
  datasetInfo,
  downloadFile,
  type FileDownloadInfoOutput,
  fileDownloadInfo,
  listFiles,
  modelInfo,
} from '@huggingface/hub';
import pLimit from 'p-limit';
import { messageOf, TacoError } from '../errors.ts';
import type { ByteFile } from './byte-file.ts';
import { HubStatusError, type HubSubject, hubError } from './hub-errors.ts';
import { createHubFetch, type HubFetchOptions } from './hub-fetch.ts';
import type { SourceContext, SourceFile } from './source.ts';

export const DEFAULT_ENDPOINT = 'https://huggingface.co';
/** Requests under way at once, over all files. */
const MAX_CONCURRENT_READS = 6;

export interface HubRepository {
  readonly type: 'dataset' | 'model';
  /** `org/name` */
  readonly name: string;
}

/** The Hub as the pipeline needs it. Every failure is a `TacoError` that names repository and file. */
export interface Hub {
  readonly endpoint: string;
  /** Commit that a branch or tag stands for now. */
  resolveCommit(repository: HubRepository, revision: string): Promise<string>;
  /** All files at a commit, or below a folder; undefined when there is no such folder. */
  listFiles(
    repository: HubRepository,
    commit: string,
    folder?: string,
  ): Promise<readonly SourceFile[] | undefined>;
  /** A file for reading by ranges; nothing is requested before the first. */
  openFile(repository: HubRepository, commit: string, file: SourceFile): ByteFile;
  /** A whole small file; null when there is none. */
  readFile(repository: HubRepository, commit: string, path: string): Promise<Uint8Array | null>;
}

/** Tunes waiting and time limits; what a test injects. */
export type HubTuning = Partial<Omit<HubFetchOptions, 'endpoint' | 'token' | 'fetch' | 'signal' | 'onWait'>>;

/** What every call of the Hub's client is made with. */
export interface HubConnection {
  readonly endpoint: string;
  readonly accessToken: `hf_${string}` | undefined;
  readonly base: {
    readonly hubUrl: string;
    readonly fetch: typeof fetch;
    readonly accessToken?: `hf_${string}`;
  };
  /** For errors. */
  readonly subjectOf: (repository: HubRepository, revision?: string, path?: string) => HubSubject;
}

/**
 * The Hub's own client, with a `fetch` that retries.
 * @throws TacoError `bad-config` for an endpoint or token that cannot be one
 */
export function connectHub(context: SourceContext, tuning: HubTuning = {}): HubConnection {
  const endpoint = checkEndpoint(context.endpoint ?? DEFAULT_ENDPOINT);
  const accessToken = checkToken(context.token);
  const hubFetch = createHubFetch({
    ...tuning,
    endpoint,
    token: accessToken,
    fetch: context.fetch,
    signal: context.signal,
    onWait: context.onWait,
  });
  return {
    endpoint,
    accessToken,
    base: { hubUrl: endpoint, fetch: hubFetch, ...(accessToken === undefined ? {} : { accessToken }) },
    subjectOf: (repository, revision, path) => ({
      type: repository.type,
      repository: repository.name,
      revision,
      path,
      endpoint,
      hasToken: accessToken !== undefined,
    }),
  };
}

/**
 * The Hub for reading.
 * @throws TacoError `bad-config` for an endpoint or token that cannot be one
 */
export function createHub(context: SourceContext, tuning: HubTuning = {}): Hub {
  return readingHub(connectHub(context, tuning), context.signal);
}

/** @param signal ends reads with its reason instead of an error of the network */
export function readingHub(connection: HubConnection, signal?: AbortSignal): Hub {
  const { base, endpoint, subjectOf } = connection;
  const limit = pLimit(MAX_CONCURRENT_READS);
  const preference: Preference = { xet: false };
  return {
    endpoint,

    async resolveCommit(repository, revision) {
      const subject = subjectOf(repository, revision);
      const params = { ...base, name: repository.name, revision, additionalFields: ['sha'] as 'sha'[] };
      try {
        const info = repository.type === 'dataset' ? await datasetInfo(params) : await modelInfo(params);
        const sha: unknown = info.sha;
        if (typeof sha !== 'string' || !/^[0-9a-f]{40}$/.test(sha)) {
          throw new Error(`the Hub answered ${String(sha)} for the commit of ${revision}`);
        }
        return sha;
      } catch (error) {
        throw hubError(error, subject);
      }
    },

    async listFiles(repository, commit, folder) {
      const files: SourceFile[] = [];
      try {
        const entries = listFiles({
          ...base,
          repo: repository,
          revision: commit,
          recursive: true,
          ...(folder === undefined ? {} : { path: encodePath(folder) }),
        });
        for await (const { type, path, size, oid, lfs, xetHash } of entries) {
          if (type === 'file')
            files.push({ path, sizeBytes: size, digest: lfs?.oid ?? oid ?? xetHash ?? '' });
        }
      } catch (error) {
        const missing = error instanceof HubStatusError && error.errorCode === 'EntryNotFound';
        if (missing && folder !== undefined) return undefined;
        throw hubError(error, subjectOf(repository, commit, folder));
      }
      return files;
    },

    openFile(repository, commit, file) {
      const subject = subjectOf(repository, commit, file.path);
      const params = { ...base, repo: repository, revision: commit, path: encodePath(file.path) };
      let opened: Promise<BlobSource> | undefined;
      const name = `${file.path} of ${repository.name}`;
      return {
        name,
        sizeBytes: file.sizeBytes,
        close: () => Promise.resolve(),
        read: (start, end) =>
          limit(async () => {
            try {
              opened ??= openBlob(params, file.sizeBytes, name).catch((error: unknown) => {
                opened = undefined;
                throw error;
              });
              return await readBlob(await opened, start, end, preference);
            } catch (error) {
              signal?.throwIfAborted();
              throw hubError(error, subject);
            }
          }),
      };
    },

    async readFile(repository, commit, path) {
      const params = { ...base, repo: repository, revision: commit, path: encodePath(path) };
      try {
        const info = await fileDownloadInfo(params);
        if (info === null) return null;
        return await slice(await blobOf(params, beyond(info), false), 0, info.size);
      } catch (error) {
        throw hubError(error, subjectOf(repository, commit, path));
      }
    },
  };
}

interface BlobSource {
  /** Ranges from where the Hub redirects to: one request each. */
  readonly direct: Blob;
  /** The same file rebuilt from Xet chunks: the way out when the direct one fails. */
  readonly xet: Blob | undefined;
}

/** Which way worked last; all files of a client learn from each other. */
interface Preference {
  xet: boolean;
}

type FileParams = Parameters<typeof fileDownloadInfo>[0];

/** Asks for a file's address once; later ranges reuse the answer. */
async function openBlob(params: FileParams, sizeBytes: number, name: string): Promise<BlobSource> {
  const info = await fileDownloadInfo(params);
  if (info === null) {
    throw new TacoError(`${name} is gone from the Hub at commit ${params.revision ?? 'main'}`, {
      code: 'not-found',
      stage: 'source',
      path: params.path,
    });
  }
  if (info.size !== sizeBytes) {
    throw new TacoError(
      `${name} has ${info.size} bytes, ${sizeBytes} were listed; start again in a new folder`,
      {
        code: 'mismatch',
        stage: 'source',
        path: params.path,
      },
    );
  }
  return {
    direct: await blobOf(params, beyond(info), false),
    xet: info.xet === undefined ? undefined : await blobOf(params, info, true),
  };
}

/** With one byte more than there is, even all of a file is asked for as a range, whose answer is checked. */
function beyond(info: FileDownloadInfoOutput): FileDownloadInfoOutput {
  return { ...info, size: info.size + 1 };
}

async function blobOf(params: FileParams, downloadInfo: FileDownloadInfoOutput, xet: boolean): Promise<Blob> {
  // Ranges are read in order and bounded by the caller; the client's own parallel buffers would come on top.
  const blob = await downloadFile({ ...params, downloadInfo, xet, parallelDownloads: false });
  if (blob === null) throw new Error('the client opened no file');
  return blob;
}

async function readBlob(
  { direct, xet }: BlobSource,
  start: number,
  end: number,
  preference: Preference,
): Promise<Uint8Array<ArrayBuffer>> {
  const first = preference.xet && xet !== undefined ? xet : direct;
  const second = first === direct ? xet : direct;
  try {
    return await slice(first, start, end);
  } catch (error) {
    // What the Hub itself refuses, it refuses on both ways; a file that changed is told at once.
    const final = error instanceof HubStatusError || (error instanceof TacoError && error.code !== 'network');
    if (second === undefined || final) throw error;
    try {
      const bytes = await slice(second, start, end);
      preference.xet = second === xet;
      return bytes;
    } catch (secondError) {
      throw new Error(`${messageOf(error)}; by Xet: ${messageOf(secondError)}`, { cause: error });
    }
  }
}

async function slice(blob: Blob, start: number, end: number): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(await blob.slice(start, end).arrayBuffer());
  if (bytes.length !== end - start) {
    throw new Error(`got ${bytes.length} bytes of ${end - start} from byte ${start} on`);
  }
  return bytes;
}

/** The client puts paths into addresses as they are. */
function encodePath(path: string): string {
  return encodeURI(path).replaceAll('#', '%23').replaceAll('?', '%3F');
}

function checkEndpoint(endpoint: string): string {
  const trimmed = endpoint.replace(/\/+$/, '');
  if (!/^https?:\/\/[^/\s]+/.test(trimmed) || !URL.canParse(trimmed)) {
    throw new TacoError(`HF_ENDPOINT is ${endpoint}, expected an address such as ${DEFAULT_ENDPOINT}`, {
      code: 'bad-config',
      stage: 'source',
    });
  }
  return trimmed;
}

function checkToken(token: string | undefined): `hf_${string}` | undefined {
  if (token === undefined || token === '') return undefined;
  if (!isToken(token)) {
    throw new TacoError('HF_TOKEN does not begin with hf_; expected an access token of the Hub', {
      code: 'bad-config',
      stage: 'source',
    });
  }
  return token;
}

function isToken(token: string): token is `hf_${string}` {
  return /^hf_\S+$/.test(token);
}
