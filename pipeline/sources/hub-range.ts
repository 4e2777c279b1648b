/** What a ranged answer must look like. Pure. */

/** Both ends inclusive, as in the header. */
export interface RequestedRange {
  readonly start: number;
  readonly end: number;
}

/** A request's single byte range; undefined without one, and for several at once. */
export function requestedRange(headers: Headers): RequestedRange | undefined {
  const match = /^bytes=(\d+)-(\d+)$/.exec(headers.get('Range') ?? '');
  return match === null ? undefined : { start: Number(match[1]), end: Number(match[2]) };
}

/** Fault of an answer's headers, seen before its body is read: a whole file must not come for a part of it. */
export function rangeIgnored(
  url: string,
  response: Response,
  range: RequestedRange | undefined,
): string | undefined {
  if (range === undefined || response.status !== 200 || isAboutFile(url, response)) return undefined;
  return 'the whole file was sent instead of the range asked for';
}

/** Two of the Hub's answers to a range speak about the file instead of holding a part of it. */
export function isAboutFile(url: string, response: Response): boolean {
  const type = response.headers.get('Content-Type') ?? '';
  return type.includes('xet-fileinfo') || new URL(url).pathname.includes('/reconstructions/');
}

/** Fault of a body that is not what its headers or the request say. */
export function bodyFault(
  url: string,
  response: Response,
  body: Uint8Array,
  range: RequestedRange | undefined,
): string | undefined {
  const declared = response.headers.get('Content-Length');
  if (
    declared !== null &&
    response.headers.get('Content-Encoding') === null &&
    Number(declared) !== body.length
  ) {
    return `the body ended after ${body.length} of ${declared} bytes`;
  }
  const type = response.headers.get('Content-Type') ?? '';
  if (type.startsWith('application/json') && isApi(url) && !isJson(body)) {
    return 'an answer that is not whole JSON';
  }
  if (range === undefined || response.status !== 206) return undefined;
  if (type.startsWith('multipart/') || isAboutFile(url, response)) return undefined;
  const content = contentRange(response.headers);
  if (content === undefined) return 'an answer to a range without a readable Content-Range';
  const end = Math.min(range.end, content.total - 1);
  if (content.start !== range.start || content.end !== end) {
    return `bytes ${content.start} to ${content.end} were sent, ${range.start} to ${end} were asked for`;
  }
  const expected = end - range.start + 1;
  return body.length === expected ? undefined : `the body ended after ${body.length} of ${expected} bytes`;
}

/** Addresses whose JSON is an answer, not the content of some file. */
function isApi(url: string): boolean {
  const { pathname } = new URL(url);
  const api = pathname.startsWith('/api/') && !pathname.startsWith('/api/resolve-cache/');
  return api || pathname.includes('/reconstructions/');
}

function isJson(body: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8'));
    return true;
  } catch {
    return false;
  }
}

/** `Content-Range: bytes 0-15/1000`. */
export function contentRange(headers: Headers): { start: number; end: number; total: number } | undefined {
  const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('Content-Range') ?? '');
  return match === null
    ? undefined
    : { start: Number(match[1]), end: Number(match[2]), total: Number(match[3]) };
}
