import { Transform } from 'node:stream';
import { Decompress } from 'fzstd';
import { messageOf } from '../errors.ts';

/** Streaming Zstandard, several frames in one file included. */
export class ZstdStream extends Transform {
  readonly #decoder = new Decompress((bytes) => {
    if (bytes.length > 0) this.push(bytes);
  });
  #isEmpty = true;

  constructor() {
    super({ highWaterMark: 1 });
  }

  override _transform(block: Uint8Array, _encoding: string, done: (error?: Error) => void): void {
    this.#isEmpty = false;
    this.#feed(block, false, done);
  }

  override _flush(done: (error?: Error) => void): void {
    // The decoder takes no bytes at all for no frames; a file without one was cut off.
    if (this.#isEmpty) done(new Error('unexpected EOF'));
    else this.#feed(new Uint8Array(0), true, done);
  }

  #feed(block: Uint8Array, final: boolean, done: (error?: Error) => void): void {
    try {
      this.#decoder.push(block, final);
      done();
    } catch (error) {
      done(error instanceof Error ? error : new Error(messageOf(error)));
    }
  }
}
