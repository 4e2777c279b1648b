import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Fault } from './faults.ts';
import type { LoggedRequest } from './log.ts';

/** An answer before it is sent. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export function json(value: unknown, headers: Readonly<Record<string, string>> = {}, status = 200): Answer {
  return {
    status,
    headers: { 'Content-Type': 'application/json; charset=utf-8', ...headers },
    body: Buffer.from(JSON.stringify(value)),
  };
}

/** A refusal as the Hub words it. */
export function refusal(status: number, code: string | undefined, message: string): Answer {
  const headers = { 'X-Error-Message': message, ...(code === undefined ? {} : { 'X-Error-Code': code }) };
  return json({ error: message }, headers, status);
}

export interface Content {
  readonly size: number;
  read(start: number, end: number): Promise<Uint8Array>;
}

/** Content or the part of it that is asked for; a fault may spoil the choice. */
export async function contentAnswer(
  content: Content,
  range: string | undefined,
  headers: Readonly<Record<string, string>>,
  fault: Fault | undefined,
): Promise<Answer> {
  const match = /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
  const common = { 'Content-Type': 'binary/octet-stream', 'Accept-Ranges': 'bytes', ...headers };
  if (match === null || fault?.kind === 'ignore-range') {
    return { status: 200, headers: common, body: await content.read(0, content.size) };
  }
  const shift = fault?.kind === 'shift-range' ? fault.by : 0;
  const start = Number(match[1]) + shift;
  const end = Math.min(Number(match[2]) + shift, content.size - 1);
  if (start > end) {
    return {
      status: 416,
      headers: { 'Content-Range': `bytes */${content.size}` },
      body: new Uint8Array(0),
    };
  }
  return {
    status: 206,
    headers: { ...common, 'Content-Range': `bytes ${start}-${end}/${content.size}` },
    body: await content.read(start, end + 1),
  };
}

/** Sends an answer, with a fault in the sending where one was ordered. */
export function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
  fault: Fault | undefined,
  log: LoggedRequest,
): void {
  if (fault?.kind === 'reset') {
    request.socket.resetAndDestroy();
    return;
  }
  if (fault?.kind === 'stall' && fault.afterBytes < 0) return;
  const body = fault?.kind === 'short' ? answer.body.subarray(0, fault.bytes) : answer.body;
  const headers: Record<string, string> = { ...answer.headers, 'Content-Length': String(body.length) };
  if (fault?.kind === 'etag') headers.ETag = fault.etag;
  log.status = answer.status;
  response.writeHead(answer.status, headers);
  if (fault?.kind === 'cut' || fault?.kind === 'stall') {
    const part = body.subarray(0, fault.afterBytes);
    log.bytesSent = part.length;
    // Node holds headers back until the first bytes of a body.
    response.flushHeaders();
    response.write(part, () => {
      if (fault.kind === 'cut') setImmediate(() => request.socket.destroy());
    });
    return;
  }
  log.bytesSent = body.length;
  response.end(body);
}
