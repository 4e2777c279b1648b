import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ensureFolder, messageOf, systemCodeOf, TacoError, writeFileAtomic } from '../../pipeline/index.ts';
import { type Metrics, scoreOf } from './metrics.ts';
import { GLUE_TASKS, type GlueTask, type GlueTaskName } from './tasks.ts';

const VERSION = 1;
const FILE_NAME = /^[a-z0-9]+-seed-\d+\.json$/;

/** JSON has no NaN: null stands for a correlation that is not defined. */
const metricsSchema = z.record(z.string(), z.number().nullable()).readonly();

const evaluationSchema = z
  .strictObject({
    /** Epochs trained, from 1 on. */
    epoch: z.int().positive(),
    /** Updates made. */
    step: z.int().positive(),
    /** By validation split, then by metric; fractions. */
    metrics: z.record(z.string(), metricsSchema).readonly(),
    /** Mean over the splits of the mean of their metrics; what `best` goes by. */
    score: z.number(),
  })
  .readonly();

const chosenSchema = z.strictObject({ epoch: z.int().positive(), score: z.number() }).readonly();

const settingsSchema = z.record(z.string(), z.union([z.number(), z.string(), z.boolean()])).readonly();

const resultSchema = z
  .strictObject({
    version: z.literal(VERSION),
    task: z.enum(Object.keys(GLUE_TASKS) as [GlueTaskName, ...GlueTaskName[]]),
    seed: z.int().nonnegative(),
    /** The pretrained model: its identity, and after how many updates of pretraining. */
    checkpoint: z.strictObject({ id: z.string(), step: z.int().nonnegative() }).readonly(),
    /** `identity` of the data. */
    data: z.string(),
    settings: settingsSchema,
    epochs: z.array(evaluationSchema).min(1).readonly(),
    best: chosenSchema,
    last: chosenSchema,
  })
  .readonly();

/** Everything that decides a fine-tuning: two with the same are the same. */
export type FinetuningKey = Pick<GlueResult, 'task' | 'seed' | 'checkpoint' | 'data' | 'settings'>;
/** Record of one finished fine-tuning. */
export type GlueResult = z.infer<typeof resultSchema>;
/** The model after one epoch. */
export type EpochEvaluation = z.infer<typeof evaluationSchema>;

/** An epoch's metrics, by validation split. */
export function epochEvaluation(
  epoch: number,
  step: number,
  metrics: Readonly<Record<string, Metrics>>,
): EpochEvaluation {
  const written = Object.fromEntries(
    Object.entries(metrics).map(([split, values]) => [
      split,
      Object.fromEntries(
        Object.entries(values).map(([name, value]) => [name, Number.isNaN(value) ? null : value]),
      ),
    ]),
  );
  return { epoch, step, metrics: written, score: meanScore(written) };
}

function meanScore(metrics: EpochEvaluation['metrics']): number {
  const scores = Object.values(metrics).map(scoreOf);
  return scores.reduce((sum, score) => sum + score, 0) / scores.length;
}

/** The record of a fine-tuning. @param epochs all of them, in order; one at least */
export function createResult(key: FinetuningKey, epochs: readonly EpochEvaluation[]): GlueResult {
  return {
    version: VERSION,
    task: key.task,
    seed: key.seed,
    checkpoint: key.checkpoint,
    data: key.data,
    settings: key.settings,
    epochs,
    best: bestOf(epochs),
    last: chosen(epochs.at(-1)!),
  };
}

/** The first of the epochs with the highest score. */
function bestOf(epochs: readonly EpochEvaluation[]): GlueResult['best'] {
  return chosen(epochs.reduce((best, epoch) => (epoch.score > best.score ? epoch : best)));
}

function chosen({ epoch, score }: EpochEvaluation): GlueResult['best'] {
  return { epoch, score };
}

/** Where the record of a task and a seed lies in the folder of a checkpoint's results. */
export function resultPath(folder: string, task: GlueTaskName, seed: number): string {
  return join(folder, `${task}-seed-${seed}.json`);
}

/** Writes a record, whole or not at all. @throws TacoError `disk` */
export async function writeResult(folder: string, result: GlueResult): Promise<void> {
  await ensureFolder(folder);
  const path = resultPath(folder, result.task, result.seed);
  await writeFileAtomic(path, `${JSON.stringify(result, undefined, 2)}\n`);
}

/**
 * The record of a fine-tuning that was finished before, so that it need not be done again.
 * @returns undefined when there is none
 * @throws TacoError `mismatch` when what lies there was made with something else, `corrupt` when it is no record
 */
export async function findResult(folder: string, key: FinetuningKey): Promise<GlueResult | undefined> {
  const path = resultPath(folder, key.task, key.seed);
  const result = await readResult(path);
  if (result === undefined) return undefined;
  const difference = differencesOf(result, key)[0];
  if (difference === undefined) return result;
  throw new TacoError(
    `${path} was made with ${difference.name} ${difference.first}, now it is ${difference.second}; choose another folder or remove the file`,
    { code: 'mismatch', stage: 'glue', path },
  );
}

/** One thing in which two fine-tunings differ. */
export interface Difference {
  readonly name: string;
  readonly first: string;
  readonly second: string;
}

/** In what two fine-tunings differ besides task and seed: checkpoint, data, settings. */
export function differencesOf(
  first: Omit<FinetuningKey, 'task' | 'seed'>,
  second: Omit<FinetuningKey, 'task' | 'seed'>,
): readonly Difference[] {
  const flat = ({ checkpoint, data, settings }: Omit<FinetuningKey, 'task' | 'seed'>) =>
    new Map<string, string>([
      ['checkpoint', checkpoint.id],
      ['step', String(checkpoint.step)],
      ['data', data],
      ...Object.entries(settings).map(([name, value]) => [name, String(value)] as const),
    ]);
  const a = flat(first);
  const b = flat(second);
  return [...new Set([...a.keys(), ...b.keys()])]
    .map((name) => ({ name, first: a.get(name) ?? 'not set', second: b.get(name) ?? 'not set' }))
    .filter((difference) => difference.first !== difference.second);
}

/** All records in a folder, by task and seed; none when there is no folder. @throws TacoError `corrupt` */
export async function readResults(folder: string): Promise<readonly GlueResult[]> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (systemCodeOf(error) === 'ENOENT') return [];
    throw unreadable(folder, error);
  });
  const found = await Promise.all(
    names.filter((name) => FILE_NAME.test(name)).map((name) => readResult(join(folder, name))),
  );
  const order = Object.keys(GLUE_TASKS);
  return found
    .filter((result) => result !== undefined)
    .sort((a, b) => order.indexOf(a.task) - order.indexOf(b.task) || a.seed - b.seed);
}

async function readResult(path: string): Promise<GlueResult | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw unreadable(path, error);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw damaged(path, messageOf(error));
  }
  const parsed = resultSchema.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw damaged(path, `${issue!.path.join('.')}: ${issue!.message}`);
  }
  const problem = problemOf(parsed.data, path);
  if (problem !== undefined) throw damaged(path, problem);
  return parsed.data;
}

/** What a record contradicts itself in. */
function problemOf(result: GlueResult, path: string): string | undefined {
  const task: GlueTask = GLUE_TASKS[result.task];
  if (!path.endsWith(resultPath('', result.task, result.seed))) {
    return `it is of ${result.task}, seed ${result.seed}`;
  }
  const splits = task.validations.map(({ name }) => name).join(', ');
  const metrics = task.metrics.join(', ');
  for (const { epoch, metrics: found, score } of result.epochs) {
    const foundSplits = Object.keys(found).join(', ');
    if (foundSplits !== splits) return `epoch ${epoch} has the splits ${foundSplits}, expected ${splits}`;
    for (const values of Object.values(found)) {
      const names = Object.keys(values).join(', ');
      if (names !== metrics) return `epoch ${epoch} has the metrics ${names}, expected ${metrics}`;
    }
    if (Math.abs(score - meanScore(found)) > 1e-9) return `epoch ${epoch} has score ${score}`;
  }
  const { epoch: best } = bestOf(result.epochs);
  if (result.best.epoch !== best) return `best is epoch ${result.best.epoch}, expected ${best}`;
  const { epoch: last } = result.epochs.at(-1)!;
  if (result.last.epoch !== last) return `last is epoch ${result.last.epoch}, expected ${last}`;
  return undefined;
}

function damaged(path: string, what: string): TacoError {
  return new TacoError(`${path} is no record of a fine-tuning (${what}); remove it to make it again`, {
    code: 'corrupt',
    stage: 'glue',
    path,
  });
}

function unreadable(path: string, error: unknown): TacoError {
  return new TacoError(`cannot read ${path}: ${messageOf(error)}`, {
    code: 'disk',
    stage: 'glue',
    path,
    cause: error,
  });
}
