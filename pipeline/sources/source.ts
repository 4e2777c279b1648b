import type { DocumentChunk, SourceCursor } from '../types.ts';
import type { HashFile } from './file-hash.ts';

/** One pinned file of a source. */
export interface SourceFile {
  /** Path within the repository; for local files as found from the working folder. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Identity of the content: sha256 or git blob id on the Hub, `sha256:…` or `size-mtime:…` for local files. */
  readonly digest: string;
}

/** Everything that decides a source's documents; goes into the manifest and the fingerprint. JSON. */
export interface SourceIdentity {
  /** As the user wrote it, without the weight. */
  readonly spec: string;
  readonly kind: 'hub' | 'file' | 'sample';
  readonly repository?: string;
  /** Branch or tag that was asked for. */
  readonly revision?: string;
  /** Commit that it stood for when the run began: only this is read. */
  readonly commit?: string;
  readonly config?: string;
  readonly column?: string;
  readonly weight?: number;
  readonly files: readonly SourceFile[];
}

/** A run of whole documents of one source. Its borders depend on the source's files alone. */
export interface SourceChunk extends Pick<DocumentChunk, 'documents' | 'textBytes' | 'reuse'> {
  /** Reading from here gives the chunks that follow this one. */
  readonly next: SourceCursor;
  /** Bytes of this source's files that lie behind `next`, for progress. */
  readonly inputBytes: number;
}

/**
 * A pinned list of files and how to read documents from it. Empty documents (no text, or a null) are left out.
 */
export interface Source {
  readonly identity: SourceIdentity;
  /** Size of all its files. */
  readonly totalBytes: number;
  /** Documents from a cursor on; `START` gives all. A cursor that this source gave yields the same tail again. */
  read(from: SourceCursor): AsyncIterable<SourceChunk>;
}

/** The beginning of every source. */
export const START: SourceCursor = { file: 0, group: 0, row: 0 };

/** A pause that the Hub asked for or that a fault made necessary. */
export interface WaitNotice {
  readonly reason: 'rate-limited' | 'retry';
  readonly waitMs: number;
  /** One line for people: what happened and to which request. */
  readonly message: string;
  /** 1 for the first try that failed. */
  readonly attempt: number;
}

/** What sources need from outside. Everything has a default that suits the command line. */
export interface SourceContext {
  /** Base of the Hub, `https://huggingface.co` unless given (`HF_ENDPOINT`). */
  readonly endpoint?: string | undefined;
  /** `hf_…` (`HF_TOKEN`). */
  readonly token?: string | undefined;
  /** Network access; the global `fetch` unless given. */
  readonly fetch?: typeof fetch | undefined;
  /** Identities of an earlier run: the same specs read the same commits and files again. */
  readonly pinned?: readonly SourceIdentity[] | undefined;
  /** Folder that keeps whole Hub files (`--cache-downloads`); without it only the bytes needed are read. */
  readonly cacheFolder?: string | undefined;
  /** Folder that relative `file:` paths start from; the process's own unless given. */
  readonly workingFolder?: string | undefined;
  /** Digests of local files; made in the calling thread unless given. */
  readonly hashFile?: HashFile | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onWait?: ((notice: WaitNotice) => void) | undefined;
}
