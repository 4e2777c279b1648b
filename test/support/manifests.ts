import {
  fingerprintOf,
  type Manifest,
  type ManifestShard,
  type PrepareCursor,
  SCHEMA_VERSION,
} from '../../pipeline/shards/manifest.ts';
import { noTotals } from '../../pipeline/shards/totals.ts';

/** A cursor of one source, some documents into it. */
export function cursorAt(
  row: number,
  carry: PrepareCursor['carry'] = { train: [], validation: [] },
): PrepareCursor {
  const input = { sources: [{ file: 0, group: 0, row }], deliveredBytes: [10 * row] };
  return { input, document: 0, token: 0, carry };
}

/** A valid manifest without shards, or with what is given. */
export function manifestWith(changes: Partial<Omit<Manifest, 'fingerprint'>> = {}): Manifest {
  const manifest: Omit<Manifest, 'fingerprint'> = {
    schemaVersion: SCHEMA_VERSION,
    status: 'running',
    settings: {
      maxSeqLen: 8,
      packing: 'concat',
      remainder: 'pad',
      validation: 0.1,
      seed: 42,
      dedup: 'none',
      rowsPerShard: 4,
      rowsPerGroup: 2,
    },
    sources: [
      {
        spec: 'wikipedia',
        kind: 'hub',
        repository: 'wikimedia/wikipedia',
        revision: 'main',
        commit: 'b04c8d1ceb2f5cd4588862100d08de323dccfbaa',
        config: '20231101.en',
        column: 'text',
        files: [
          { path: '20231101.en/train-00000-of-00041.parquet', sizeBytes: 420_000_000, digest: 'sha256:00' },
        ],
      },
    ],
    tokenizer: {
      reference: 'google-bert/bert-base-uncased',
      kind: 'wordpiece',
      lowercase: true,
      vocabSize: 30_522,
      sha256: '07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3',
      fingerprint: '0'.repeat(64),
      specialTokenIds: { pad: 0, unk: 100, cls: 101, sep: 102, mask: 103 },
    },
    shards: [],
    seen: [],
    totals: noTotals,
    ...changes,
  };
  return { ...manifest, fingerprint: fingerprintOf(manifest) };
}

/** A manifest's line of a shard, with a content that is not there. */
export function shardLine(file: string, end: PrepareCursor): ManifestShard {
  const split = file.startsWith('train/') ? 'train' : 'validation';
  return { split, file, rows: 4, tokens: 30, bytes: 500, sha256: 'f'.repeat(64), end };
}
