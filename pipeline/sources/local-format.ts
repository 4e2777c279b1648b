import { TacoError } from '../errors.ts';
import type { Compression } from './lines.ts';
import { DEFAULT_COLUMN } from './spec.ts';

/** How to read documents from one local file. */
export type LocalFormat =
  | { readonly kind: 'parquet'; readonly column: string }
  | { readonly kind: 'jsonl'; readonly compression: Compression; readonly field: string }
  | { readonly kind: 'lines' | 'whole'; readonly compression: Compression };

const COMPRESSIONS: Readonly<Record<string, Compression>> = { '.gz': 'gzip', '.zst': 'zstd' };
const KNOWN = '.parquet, .jsonl, .ndjson, .json, .txt or .text (all but Parquet also with .gz or .zst)';

/** Whether a folder's file is one that `file:<folder>` reads. */
export function hasKnownExtension(path: string): boolean {
  return /\.(parquet|(jsonl|ndjson|json|txt|text)(\.gz|\.zst)?)$/i.test(path);
}

/**
 * Format of a file by its name.
 * @param selector what stands behind `#` in the spec
 * @throws TacoError `bad-config` for an unknown extension, or a selector that does not fit
 */
export function formatOf(path: string, selector: string | undefined): LocalFormat {
  const outer = /\.(gz|zst)$/i.exec(path)?.[0].toLowerCase();
  const compression = outer === undefined ? 'none' : COMPRESSIONS[outer]!;
  const inner = outer === undefined ? path : path.slice(0, -outer.length);
  const extension = /\.[^./]+$/.exec(inner)?.[0].toLowerCase();
  switch (extension) {
    case '.parquet':
      if (compression !== 'none') {
        throw badFile(path, 'is packed Parquet, which cannot be read in parts; unpack it first');
      }
      return { kind: 'parquet', column: selector ?? DEFAULT_COLUMN };
    case '.jsonl':
    case '.ndjson':
    case '.json':
      return { kind: 'jsonl', compression, field: selector ?? DEFAULT_COLUMN };
    case '.txt':
    case '.text':
      if (selector !== undefined && selector !== 'lines' && selector !== 'file') {
        throw badFile(path, `is plain text and has no column ${selector}; expected #lines or #file`);
      }
      return { kind: selector === 'file' ? 'whole' : 'lines', compression };
    default:
      throw badFile(path, `has an unknown format; expected ${KNOWN}`);
  }
}

function badFile(path: string, what: string): TacoError {
  return new TacoError(`${path} ${what}`, { code: 'bad-config', stage: 'source', path });
}
