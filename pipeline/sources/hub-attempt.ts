import { messageOf, systemCodeOf } from '../errors.ts';
import { watchBody } from './watched-body.ts';

/** One request with its whole body, or what went wrong. */
export type Attempt =
  | { readonly kind: 'answer'; readonly response: Response; readonly body: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'fault'; readonly fault: Fault };

export interface Fault {
  /** For people, without the address: `connection reset`, `status 503`, … */
  readonly what: string;
  /** `unreachable`: no connection; `refused`: an address that expired or is blocked; `permanent`: no use to retry. */
  readonly severity: 'passing' | 'unreachable' | 'refused' | 'permanent';
  /** The answer, where there was one. */
  readonly response?: Response;
  readonly cause?: unknown;
}

export interface AttemptOptions {
  readonly fetch: typeof fetch;
  /** Until the answer's headers are there, since the last of the request's body was taken. */
  readonly headersTimeoutMs: number;
  /** Longest silence within a body. */
  readonly stallTimeoutMs: number;
  /** Decides on the headers whether the body is wanted; a text is a fault. */
  readonly inspect: (response: Response) => string | undefined;
  /** Bytes of the request's body that were taken since the last call; negative when a try was in vain. */
  readonly onSent?: ((bytes: number) => void) | undefined;
}

const UNREACHABLE = new Set(['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'ENETUNREACH', 'EHOSTUNREACH']);
const PERMANENT = /CERT|ERR_TLS|ERR_SSL|ERR_INVALID|UNABLE_TO_/;
/** What fetch itself refuses has no code. */
const PERMANENT_REFUSALS = new Set(['bad port', 'unknown scheme', 'redirect count exceeded']);

/**
 * Sends a request and reads its body to the end, each with a time limit. Never throws for the network's sake.
 * @throws whatever the caller's own signal was aborted with
 */
export async function attempt(
  url: string,
  init: RequestInit,
  callerSignals: readonly AbortSignal[],
  options: AttemptOptions,
): Promise<Attempt> {
  const timeout = new AbortController();
  const signal = AbortSignal.any([timeout.signal, ...callerSignals]);
  const expire = (): void => {
    timeout.abort();
  };
  let timer = setTimeout(expire, options.headersTimeoutMs);
  let sentBytes = 0;
  const body = watchBody(init.body, (bytes) => {
    sentBytes += bytes;
    options.onSent?.(bytes);
    clearTimeout(timer);
    timer = setTimeout(expire, options.headersTimeoutMs);
  });
  const unsend = (): void => {
    if (sentBytes > 0) options.onSent?.(-sentBytes);
  };
  let response: Response | undefined;
  try {
    response = await options.fetch(url, { ...init, ...(body === undefined ? {} : { body }), signal });
    const problem = options.inspect(response);
    if (problem !== undefined) {
      await response.body?.cancel().catch(() => undefined);
      unsend();
      return fault(problem, response);
    }
    const blocks: Uint8Array[] = [];
    let length = 0;
    const reader = response.body?.getReader() as ReadableStreamDefaultReader<Uint8Array> | undefined;
    while (reader !== undefined) {
      clearTimeout(timer);
      timer = setTimeout(expire, options.stallTimeoutMs);
      const { done, value } = await reader.read();
      if (done) break;
      blocks.push(value);
      length += value.length;
    }
    const content = new Uint8Array(length);
    let offset = 0;
    for (const block of blocks) {
      content.set(block, offset);
      offset += block.length;
    }
    return { kind: 'answer', response, body: content };
  } catch (error) {
    unsend();
    for (const caller of callerSignals) caller.throwIfAborted();
    if (timeout.signal.aborted) {
      const [where, limitMs] =
        response === undefined
          ? ['no answer', options.headersTimeoutMs]
          : ['the transfer stalled', options.stallTimeoutMs];
      return fault(`${where} for ${limitMs / 1000} s`, response);
    }
    return { kind: 'fault', fault: networkFault(error) };
  } finally {
    clearTimeout(timer);
  }
}

function fault(what: string, response?: Response): Attempt {
  return {
    kind: 'fault',
    fault: { what, severity: 'passing', ...(response === undefined ? {} : { response }) },
  };
}

/** Node's fetch throws `TypeError: fetch failed` with the real reason somewhere among its causes. */
function networkFault(error: unknown): Fault {
  let root = error;
  for (let depth = 0; depth < 4; depth++) {
    if (root instanceof AggregateError && root.errors.length > 0) root = root.errors[0];
    else if (root instanceof Error && root.cause !== undefined) root = root.cause;
  }
  const code = systemCodeOf(root);
  const detail = messageOf(root);
  const what = code === undefined || detail.includes(code) ? detail : `${code}: ${detail}`;
  const severity =
    code === undefined
      ? PERMANENT_REFUSALS.has(detail)
        ? 'permanent'
        : 'passing'
      : UNREACHABLE.has(code)
        ? 'unreachable'
        : PERMANENT.test(code)
          ? 'permanent'
          : 'passing';
  return { what, severity, cause: error };
}
