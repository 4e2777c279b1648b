import { sha256 } from './repositories.ts';

/** Large files that have arrived, by sha256, and parts of those that have not yet. */
export class Uploads {
  readonly #objects = new Map<string, Buffer>();
  readonly #parts = new Map<string, Buffer[]>();

  has(oid: string): boolean {
    return this.#objects.has(oid);
  }

  get(oid: string): Buffer | undefined {
    return this.#objects.get(oid);
  }

  /** @returns false when the bytes are not those that were announced */
  put(oid: string, bytes: Buffer): boolean {
    if (sha256(bytes) !== oid) return false;
    this.#objects.set(oid, bytes);
    return true;
  }

  putPart(oid: string, part: number, bytes: Buffer): void {
    const parts = this.#parts.get(oid) ?? [];
    parts[part - 1] = bytes;
    this.#parts.set(oid, parts);
  }

  /** Puts the parts together. */
  complete(oid: string): boolean {
    return this.put(oid, Buffer.concat(this.#parts.get(oid) ?? []));
  }
}
