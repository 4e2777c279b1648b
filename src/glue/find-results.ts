import { readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { TacoError } from '../../pipeline/index.ts';
import { stepOfName } from '../train/checkpoint.ts';
import { resultsFolderOf } from './initial-model.ts';
import { readResults } from './results.ts';
import type { LabelledResults } from './table.ts';

/**
 * Results of a model that was fine-tuned before.
 * @param reference as `readInitialModel` takes it; of a run, the newest checkpoint that has results
 * @throws TacoError `not-found` when there are none
 */
export async function findResults(reference: string): Promise<LabelledResults> {
  const folder = await newestFolder(reference);
  const results = await readResults(folder);
  if (results.length > 0) return { label: reference, results };
  throw new TacoError(`${reference} has no results of GLUE: npm run glue -- ${reference}`, {
    code: 'not-found',
    stage: 'glue',
    path: folder,
  });
}

async function newestFolder(reference: string): Promise<string> {
  if (stepOfName(basename(reference)) !== undefined) return resultsFolderOf(reference);
  const parent = join(reference, 'glue');
  const found = await stat(parent).catch(() => undefined);
  if (found?.isDirectory() !== true) return resultsFolderOf(reference);
  const steps = (await readdir(parent)).map(stepOfName).filter((step) => step !== undefined);
  return steps.length === 0 ? parent : join(parent, `checkpoint-${Math.max(...steps)}`);
}
