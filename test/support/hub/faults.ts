import type { LoggedRequest } from './log.ts';

/** What can go wrong with an answer. */
export type Fault =
  /** Another answer altogether. */
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  /** The connection is cut before anything is sent. */
  | { readonly kind: 'reset' }
  /** The headers promise the whole body, the connection is cut after some of it. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** A well-formed answer with too few bytes, as a broken proxy makes it. */
  | { readonly kind: 'short'; readonly bytes: number }
  /** Nothing more comes after some bytes of the body; -1: not even headers. */
  | { readonly kind: 'stall'; readonly afterBytes: number }
  /** 200 and the whole file for a request of a part. */
  | { readonly kind: 'ignore-range' }
  /** Another part than the one asked for. */
  | { readonly kind: 'shift-range'; readonly by: number }
  | { readonly kind: 'etag'; readonly etag: string };

export interface FaultRule {
  /** Which requests: a pattern on `METHOD path?query`, or a predicate. */
  readonly match: RegExp | ((request: LoggedRequest) => boolean);
  readonly fault: Fault;
  /** How many requests it strikes, 1 unless given. */
  readonly times?: number;
  /** How many matching requests pass first. */
  readonly after?: number;
}

/** Strikes requests with the faults that were ordered. */
export class Faults {
  readonly #rules: { rule: FaultRule; seen: number }[] = [];

  add(rule: FaultRule): void {
    this.#rules.push({ rule, seen: 0 });
  }

  clear(): void {
    this.#rules.length = 0;
  }

  /** The fault for a request, if any; counts it. */
  take(request: LoggedRequest): Fault | undefined {
    let struck: Fault | undefined;
    for (const entry of this.#rules) {
      const { match, times = 1, after = 0, fault } = entry.rule;
      const matches =
        match instanceof RegExp ? match.test(`${request.method} ${request.url}`) : match(request);
      if (!matches) continue;
      entry.seen += 1;
      if (entry.seen > after && entry.seen <= after + times) struck ??= fault;
    }
    return struck;
  }
}
