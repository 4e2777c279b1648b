import { messageOf, TacoError } from '../errors.ts';

/** An answer of the Hub that no retry will change. Turned into a `TacoError` where the file is known. */
export class HubStatusError extends Error {
  override readonly name = 'HubStatusError';
  readonly status: number;
  /** `X-Error-Code`: EntryNotFound, RepoNotFound, RevisionNotFound, GatedRepo, … */
  readonly errorCode: string | undefined;
  readonly url: string;

  constructor(response: Response, url: string) {
    super(response.headers.get('X-Error-Message') ?? `status ${response.status}`);
    this.status = response.status;
    this.errorCode = response.headers.get('X-Error-Code') ?? undefined;
    this.url = url;
  }
}

/** What was asked of the Hub, for messages. */
export interface HubSubject {
  readonly type: 'dataset' | 'model';
  readonly repository: string;
  readonly revision?: string | undefined;
  readonly path?: string | undefined;
  readonly endpoint: string;
  readonly hasToken: boolean;
  /** What was to be done with it. Default `read`. */
  readonly action?: 'read' | 'write to';
}

/** The page of a repository for people. */
export function pageOf({
  endpoint,
  type,
  repository,
}: Pick<HubSubject, 'endpoint' | 'type' | 'repository'>): string {
  return `${endpoint}/${type === 'dataset' ? 'datasets/' : ''}${repository}`;
}

/** Any failure of a Hub call as one line that says what to do. */
export function hubError(error: unknown, subject: HubSubject): TacoError {
  if (error instanceof TacoError) return error;
  const { type, repository, revision, path, action = 'read' } = subject;
  const what = `${type} ${repository}`;
  if (!(error instanceof HubStatusError)) {
    const file = path === undefined ? what : `${path} of ${what}`;
    return fail(`cannot ${action} ${file}: ${messageOf(error)}`, 'network', subject, error);
  }
  const { status, errorCode } = error;
  const answer = `the Hub answered ${status}${error.message === `status ${status}` ? '' : `: ${error.message}`}`;
  if (errorCode === 'GatedRepo' || (status === 403 && /gated|agree|terms/i.test(error.message))) {
    const token = subject.hasToken
      ? 'with the account of HF_TOKEN'
      : 'and set HF_TOKEN to a token of that account';
    return fail(
      `${what} is gated; accept its terms at ${pageOf(subject)} ${token}`,
      'forbidden',
      subject,
      error,
    );
  }
  if (errorCode === 'RevisionNotFound') {
    return fail(
      `${what} has no revision ${revision ?? 'main'}; see ${pageOf(subject)}/tree/main`,
      'not-found',
      subject,
      error,
    );
  }
  if (errorCode === 'EntryNotFound') {
    const at = revision === undefined ? '' : ` at ${revision}`;
    return fail(
      `${what} has no ${path ?? 'such file'}${at}; see ${pageOf(subject)}/tree/main`,
      'not-found',
      subject,
      error,
    );
  }
  if (errorCode === 'RepoNotFound' || status === 404 || (status === 401 && !subject.hasToken)) {
    const advice = subject.hasToken
      ? 'check the name, and that the account of HF_TOKEN may read it'
      : 'check the name, or set HF_TOKEN to a token that may read it';
    const code = status === 404 ? 'not-found' : 'forbidden';
    return fail(`${what} does not exist or is private (${answer}); ${advice}`, code, subject, error);
  }
  if (status === 401) {
    const settings = `${subject.endpoint}/settings/tokens`;
    return fail(
      `HF_TOKEN is not valid (${answer}); make a new one at ${settings}`,
      'forbidden',
      subject,
      error,
    );
  }
  if (status === 403) {
    return fail(
      `HF_TOKEN may not ${action} ${what} (${answer}); use a token that may`,
      'forbidden',
      subject,
      error,
    );
  }
  return fail(`cannot ${action} ${what}: ${answer}`, 'network', subject, error);
}

function fail(
  message: string,
  code: 'network' | 'not-found' | 'forbidden',
  subject: HubSubject,
  cause: unknown,
): TacoError {
  return new TacoError(message, { code, stage: 'source', path: subject.path ?? subject.repository, cause });
}
