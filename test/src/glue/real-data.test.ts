import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { builtinTokenizer } from '../../../pipeline/text/builtin-vocabulary.ts';
import { openGlue } from '../../../src/glue/data.ts';
import { encodeExamples, padRows } from '../../../src/glue/encode.ts';
import { GLUE_TASKS, splitsOf } from '../../../src/glue/tasks.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { uncasedTokenizer, writeFiles } from '../../support/glue.ts';
import { hubForTest } from '../../support/hub-datasets.ts';
import { findPython } from '../../support/python.ts';

const SHARED = join(import.meta.dirname, '../../../../shared/hub');
const GLUE = join(SHARED, 'datasets/nyu-mll/glue/main');
/** Short enough that many pairs are cut. */
const LENGTH = 48;
/** Examples of a split that are compared. */
const LIMIT = 1000;

const python = existsSync(GLUE) ? findPython(['pyarrow', 'transformers']) : undefined;

describe.skipIf(python === undefined)("GLUE's own data (needs ../shared/hub)", () => {
  it('is read as by pyarrow and encoded as by Hugging Face', async () => {
    const folder = await temporaryFolder();
    await writeFiles(folder, {
      'vocab.txt': builtinTokenizer()
        .vocabulary.map((piece) => `${piece}\n`)
        .join(''),
    });
    const script = join(import.meta.dirname, 'real-data.py');
    const output = execFileSync(python!, [script, GLUE, folder, String(LENGTH), String(LIMIT)], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      env: { ...process.env, HF_HUB_OFFLINE: '1' },
    });
    const expected = z
      .record(z.string(), z.object({ sha256: z.string(), rows: z.int() }))
      .parse(JSON.parse(output));
    expect(Object.keys(expected).length).toBeGreaterThan(10);

    const hub = await hubForTest({ root: SHARED });
    const glue = await openGlue('nyu-mll/glue', { endpoint: hub.endpoint });
    const tokenizer = uncasedTokenizer();
    const found: Record<string, { sha256: string; rows: number }> = {};
    for (const task of Object.values(GLUE_TASKS)) {
      for (const split of splitsOf(task)) {
        if (!(await glue.has(split))) continue;
        const examples = await glue.read(task, split);
        const encoded = encodeExamples(examples.slice(0, LIMIT), tokenizer, LENGTH);
        const rows = Array.from({ length: encoded.numExamples }, (_, row) => row);
        const { ids_N, attentionMask_N, typeIds_N } = padRows(
          encoded,
          rows,
          LENGTH,
          tokenizer.specialTokenIds.pad,
        );
        const hash = createHash('sha256');
        for (const array of [ids_N, attentionMask_N, typeIds_N, encoded.labels, encoded.indexes]) {
          hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
        }
        found[split.hub] = { sha256: hash.digest('hex'), rows: examples.length };
      }
    }
    expect(found).toEqual(expected);
  });
});
