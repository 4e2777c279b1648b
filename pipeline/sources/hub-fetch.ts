import { setTimeout as delay } from 'node:timers/promises';
import { TacoError } from '../errors.ts';
import { attempt, type Fault } from './hub-attempt.ts';
import { HubStatusError } from './hub-errors.ts';
import {
  bodyFault,
  contentRange,
  isAboutFile,
  type RequestedRange,
  rangeIgnored,
  requestedRange,
} from './hub-range.ts';
import { backoffMs, requestedWaitMs } from './rate-limit.ts';
import type { WaitNotice } from './source.ts';

export interface HubFetchOptions {
  /** Base of the Hub: its own refusals are thrown as `HubStatusError`. */
  readonly endpoint: string;
  /** Access token that the client sends; kept from every other host, whatever address an answer names. */
  readonly token?: string | undefined;
  readonly fetch?: typeof fetch | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onWait?: ((notice: WaitNotice) => void) | undefined;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
  readonly sleep?: ((ms: number, signal: AbortSignal | undefined) => Promise<void>) | undefined;
  /** Uniform in [0, 1). */
  readonly random?: (() => number) | undefined;
  /** Tries of one request, waits for the rate limit not counted. */
  readonly maxAttempts?: number | undefined;
  readonly headersTimeoutMs?: number | undefined;
  readonly stallTimeoutMs?: number | undefined;
  /** Bytes of uploads that were taken since the last call; negative for a try that was in vain. */
  readonly onSent?: ((bytes: number) => void) | undefined;
}

/** Rate limit windows last five minutes; a wait beyond this is not worth sitting out. */
const MAX_WAIT_MS = 15 * 60_000;
const MAX_RATE_LIMIT_WAITS = 12;
/** A host that never answered at all is given up on soon: most likely there is no network. */
const MAX_UNREACHABLE_ATTEMPTS = 4;
/** A fresh signed address is tried a few times; then the other way is better. */
const MAX_REFUSED_ATTEMPTS = 3;
const BACKOFF = { baseMs: 500, maxMs: 60_000 };
const RETRYABLE = new Set([408, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524]);

/**
 * A `fetch` for the Hub client that survives what the network does: faults and 5xx are tried again with
 * exponential backoff and jitter, rate limits are waited out as the answer says (every request to that host
 * waits), silent connections are cut, and bodies are read whole and checked before the client sees them: their
 * length, the range, and that the file is still the same one.
 *
 * A file that the Hub redirects elsewhere is asked for there directly from the second range on, which spares a
 * request of the resolver quota each; when that address expires, the Hub is asked again.
 *
 * @throws HubStatusError when the Hub refuses for good; TacoError `network` after the last try, `mismatch` when
 * a file changed while being read
 */
export function createHubFetch(options: HubFetchOptions): typeof fetch {
  const session = new HubSession(options);
  return (input, init) => session.fetch(input, init);
}

interface Call {
  readonly url: string;
  readonly headers: Headers;
  readonly init: RequestInit;
  readonly range: RequestedRange | undefined;
  readonly signals: readonly AbortSignal[];
}

class HubSession {
  readonly #options: HubFetchOptions;
  readonly #now: () => number;
  readonly #sleep: (ms: number, signal: AbortSignal | undefined) => Promise<void>;
  /** Host → time until which no request may start. */
  readonly #blockedUntil = new Map<string, number>();
  /** Resolver address → where it last led. */
  readonly #redirects = new Map<string, string>();
  /** Host and address → first ETag and size. */
  readonly #versions = new Map<string, string>();
  #answered = false;

  constructor(options: HubFetchOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#sleep =
      options.sleep ?? ((ms, signal) => delay(ms, undefined, signal === undefined ? {} : { signal }));
  }

  async fetch(input: string | URL | Request, init: RequestInit = {}): Promise<Response> {
    // Without the body: it would be opened here and never read.
    const request = new Request(input, { headers: new Headers(init.headers) });
    const { headers } = request;
    const call: Call = {
      url: request.url,
      headers,
      init: { ...init, headers },
      range: requestedRange(headers),
      signals: [init.signal, this.#options.signal].filter(
        (signal) => signal !== null && signal !== undefined,
      ),
    };
    const maxAttempts = this.#options.maxAttempts ?? 10;
    let rateLimitWaits = 0;
    let changes = 0;
    for (let attemptNumber = 1; ; attemptNumber++) {
      await this.#gate(call);
      const result = await this.#send(call);
      if (!('what' in result)) return result;
      const limited = result.response?.status === 429;
      if (limited) attemptNumber -= 1;
      changes += result.what === CHANGED ? 1 : 0;
      if (changes > 1) throw changedError(call);
      const patience = this.#patience(result, maxAttempts);
      const spent = limited ? ++rateLimitWaits > MAX_RATE_LIMIT_WAITS : attemptNumber >= patience;
      if (spent) throw givenUp(call, result, limited ? rateLimitWaits : attemptNumber);
      await this.#pause(call, result, limited ? rateLimitWaits : attemptNumber, limited, patience);
    }
  }

  /** How many tries a fault is worth. */
  #patience({ severity }: Fault, maxAttempts: number): number {
    switch (severity) {
      case 'passing':
        return maxAttempts;
      case 'unreachable':
        return this.#answered ? maxAttempts : Math.min(maxAttempts, MAX_UNREACHABLE_ATTEMPTS);
      case 'refused':
        return Math.min(maxAttempts, MAX_REFUSED_ATTEMPTS);
      case 'permanent':
        return 1;
    }
  }

  /** Waits while the host has asked everybody to. */
  async #gate(call: Call): Promise<void> {
    const { host } = new URL(call.url);
    for (;;) {
      const waitMs = (this.#blockedUntil.get(host) ?? 0) - this.#now();
      if (waitMs <= 0) return;
      await this.#rest(waitMs, call);
    }
  }

  async #rest(ms: number, call: Call): Promise<void> {
    const signal = call.signals.length === 0 ? undefined : AbortSignal.any([...call.signals]);
    try {
      await this.#sleep(ms, signal);
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  }

  async #pause(call: Call, fault: Fault, count: number, limited: boolean, patience: number): Promise<void> {
    const asked =
      fault.response === undefined ? undefined : requestedWaitMs(fault.response.headers, this.#now());
    const waitMs = Math.max(
      limited || asked === undefined ? 0 : asked,
      limited && asked !== undefined ? asked : backoffMs(count, this.#options.random ?? Math.random, BACKOFF),
    );
    const { host } = new URL(call.url);
    if (waitMs > MAX_WAIT_MS) {
      throw new TacoError(
        `${host} asks to wait ${Math.ceil(waitMs / 60_000)} minutes (${fault.what}); run the same command again then`,
        { code: 'network', stage: 'source', path: call.url },
      );
    }
    const seconds = waitMs < 10_000 ? (waitMs / 1000).toFixed(1) : String(Math.ceil(waitMs / 1000));
    this.#options.onWait?.({
      reason: limited ? 'rate-limited' : 'retry',
      waitMs,
      attempt: count,
      message: limited
        ? `rate limited by ${host}, waiting ${seconds} s`
        : `${nameOf(call.url)}: ${fault.what}, try ${count + 1} of ${patience} in ${seconds} s`,
    });
    if (limited) this.#blockedUntil.set(host, this.#now() + waitMs);
    await this.#rest(waitMs, call);
  }

  async #send(call: Call): Promise<Response | Fault> {
    const remembered = this.#remembered(call);
    const headers = new Headers(call.headers);
    const target = remembered ?? call.url;
    const { token } = this.#options;
    const sendsToken = token !== undefined && headers.get('Authorization') === `Bearer ${token}`;
    if (sendsToken && !this.#isHub(target)) headers.delete('Authorization');
    const result = await attempt(target, { ...call.init, headers }, call.signals, {
      fetch: this.#options.fetch ?? fetch,
      headersTimeoutMs: this.#options.headersTimeoutMs ?? 30_000,
      stallTimeoutMs: this.#options.stallTimeoutMs ?? 30_000,
      onSent: this.#options.onSent,
      inspect: (response) => {
        if (response.status === 429 || RETRYABLE.has(response.status)) return `status ${response.status}`;
        return rangeIgnored(target, response, call.range);
      },
    });
    if (result.kind === 'fault') {
      if (result.fault.response !== undefined) this.#answered = true;
      this.#redirects.delete(call.url);
      return result.fault;
    }
    this.#answered = true;
    const { response, body } = result;
    if (!response.ok) return this.#refused(call, response, body, remembered !== undefined);
    const short = bodyFault(target, response, body, call.range);
    if (short !== undefined || this.#changed(call, response)) {
      this.#redirects.delete(call.url);
      return { what: short ?? CHANGED, severity: 'passing' };
    }
    this.#remember(call, response);
    return rebuilt(response, body);
  }

  /** An answer that says no: from the Hub for good, from a signed address perhaps only because it expired. */
  #refused(
    call: Call,
    response: Response,
    body: Uint8Array<ArrayBuffer>,
    wasRemembered: boolean,
  ): Response | Fault {
    const elsewhere = wasRemembered || (response.redirected && !this.#isHub(response.url));
    if (elsewhere && isResolver(call.url)) {
      this.#redirects.delete(call.url);
      return { what: `the download address was refused (status ${response.status})`, severity: 'refused' };
    }
    const missing = response.status === 404 && response.headers.get('X-Error-Code') === 'EntryNotFound';
    // The client itself knows what these two mean.
    if (!this.#isHub(call.url) || (missing && isResolver(call.url))) return rebuilt(response, body);
    throw new HubStatusError(response, call.url);
  }

  #isHub(url: string): boolean {
    return new URL(url).origin === new URL(this.#options.endpoint).origin;
  }

  #remembered(call: Call): string | undefined {
    return asksForXet(call) ? undefined : this.#redirects.get(call.url);
  }

  #remember(call: Call, response: Response): void {
    const elsewhere = response.redirected && new URL(response.url).origin !== new URL(call.url).origin;
    if (elsewhere && isResolver(call.url)) this.#redirects.set(call.url, response.url);
  }

  /** Whether a host now sends another file than at first; two hosts may word the ETag of one file differently. */
  #changed(call: Call, response: Response): boolean {
    const total = contentRange(response.headers)?.total;
    if (total === undefined || response.status !== 206 || isAboutFile(call.url, response)) return false;
    const key = `${new URL(response.url || call.url).host} ${call.url}`;
    const version = `${response.headers.get('ETag') ?? ''} ${total}`;
    const first = this.#versions.get(key);
    if (first === undefined) this.#versions.set(key, version);
    return first !== undefined && first !== version;
  }
}

const CHANGED = 'the file is another than before';

function asksForXet(call: Call): boolean {
  return call.headers.get('Accept')?.includes('xet-fileinfo') === true;
}

function isResolver(url: string): boolean {
  return new URL(url).pathname.includes('/resolve/');
}

/** The same answer with its body in memory. */
function rebuilt(response: Response, body: Uint8Array<ArrayBuffer>): Response {
  const empty = response.status === 204 || response.status === 304;
  const { status, statusText, headers, url, redirected } = response;
  const copy = new Response(empty ? null : body, { status, statusText, headers });
  return Object.defineProperties(copy, { url: { value: url }, redirected: { value: redirected } });
}

/** Host and file of an address, without signatures. */
function nameOf(url: string): string {
  const { host, pathname } = new URL(url);
  return `${host}/…/${pathname.split('/').slice(-2).join('/')}`;
}

function changedError(call: Call): TacoError {
  return new TacoError(
    `${nameOf(call.url)} changed while it was being read (another ETag or size); start again in a new folder`,
    { code: 'mismatch', stage: 'source', path: call.url },
  );
}

function givenUp(call: Call, fault: Fault, count: number): TacoError {
  const { host } = new URL(call.url);
  const message =
    fault.severity === 'unreachable'
      ? `cannot reach ${host} (${fault.what}); check the network and HF_ENDPOINT, then run the same command again`
      : fault.severity === 'permanent'
        ? `cannot connect to ${host} (${fault.what}); check HF_ENDPOINT and the certificates`
        : `gave up on ${nameOf(call.url)} after ${count} tries (${fault.what}); run the same command again to go on`;
  return new TacoError(message, { code: 'network', stage: 'source', path: call.url, cause: fault.cause });
}
