/** Which quota or host a request counts for. */
export type Route = 'api' | 'resolvers' | 'cdn' | 'cas' | 'unknown';

export interface LoggedRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** As the client addressed it: `127.0.0.1:…` is the Hub, `localhost:…` its storage. */
  readonly host: string;
  readonly route: Route;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
  readonly accept: string | undefined;
  /** Filled in when answered. */
  status: number;
  bytesSent: number;
  /** Of the request's body. */
  bytesReceived: number;
}
