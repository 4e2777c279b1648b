/** What went wrong, for programs. Messages are for people and may change; codes do not. */
export type ErrorCode =
  | 'bad-config' // a flag, file or value the user gave
  | 'not-found' // a dataset, file, column or revision that is not there
  | 'forbidden' // gated, private, or a token that is missing or wrong
  | 'network' // gave up after retries
  | 'corrupt' // bytes that are not what they claim to be
  | 'mismatch' // two things that must agree and do not: settings, fingerprints, versions
  | 'locked' // another process works on the same folder
  | 'disk' // a write or read that the file system refused
  | 'backend' // no usable tensor backend, or one that failed
  | 'diverged' // training produced non-finite numbers
  | 'worker'; // a worker thread that died

export interface TacoErrorOptions {
  readonly code: ErrorCode;
  /** Stage that noticed it, as users know it: `source`, `tokenizer`, `shards`, `batches`, `train`, … */
  readonly stage: string;
  /** File, folder or URL concerned. */
  readonly path?: string;
  readonly cause?: unknown;
}

/**
 * The only error users meet. The message says in one line what was got, what was expected and what to do;
 * commands print it without a stack trace and exit with a non-zero status.
 */
export class TacoError extends Error {
  override readonly name = 'TacoError';
  readonly code: ErrorCode;
  readonly stage: string;
  readonly path: string | undefined;

  constructor(message: string, options: TacoErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    this.stage = options.stage;
    this.path = options.path;
  }
}

/** The message of anything that was thrown, in one line: JSON.parse quotes the text around a mistake as it is. */
export function messageOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replaceAll(/\s*\n\s*/g, ' ');
}

/** The system's name of an error (`ENOENT`, `ECONNRESET`, …), where it has one. */
export function systemCodeOf(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return undefined;
}

/** An error on its way between threads, where it would lose its class. */
export interface ErrorMessage {
  readonly message: string;
  /** Of a TacoError; another error is one of this program. */
  readonly details: Omit<TacoErrorOptions, 'cause'> | undefined;
}

export function errorMessageOf(error: unknown): ErrorMessage {
  if (!(error instanceof TacoError)) return { message: messageOf(error), details: undefined };
  const { code, stage, path } = error;
  return { message: error.message, details: { code, stage, ...(path === undefined ? {} : { path }) } };
}

/** The error again, a TacoError where it was one. */
export function restoredError({ message, details }: ErrorMessage): Error {
  return details === undefined ? new Error(message) : new TacoError(message, details);
}
