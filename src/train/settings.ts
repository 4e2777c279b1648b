import { createHash } from 'node:crypto';
import { z } from 'zod';
import { precisionChoices } from '../engine/precision.ts';
import { MODEL_NAMES } from '../model/config.ts';

const whole = (least: number) =>
  z
    .int({ error: `a whole number of at least ${least}` })
    .min(least, { error: `a whole number of at least ${least}` });

const positive = z.number({ error: 'a number above 0' }).positive({ error: 'a number above 0' });

const nonNegative = z
  .number({ error: 'a number of at least 0' })
  .nonnegative({ error: 'a number of at least 0' });

const oneOf = <const Name extends string>(names: readonly Name[]) =>
  z.enum(names, { error: `one of ${names.join(', ')}` });

const dataForm = 'a folder, or a list of folders with weights such as "3:cache/datasets/wiki"';

const path = z.string({ error: 'a path' }).min(1, { error: 'a path' });

/**
 * Every setting of a training run. The error text of each field is what was expected, as `invalidSetting` of
 * config.ts prints it behind the flag's name and the value.
 */
export const settingsSchema = z
  .strictObject({
    /** Prepared datasets as `--data` takes them, with weights or without. One may be given as a plain string. */
    data: z
      .union([path.transform((only) => [only]), z.array(path)], { error: dataForm })
      .refine(({ length }) => length > 0, { error: dataForm })
      .readonly(),
    /** Folder of the run: checkpoints, metrics, plot. */
    out: path,
    mode: oneOf(['mlm', 'taco']),
    /** One of Google's sizes; not used when `bertConfig` is set. */
    model: oneOf(MODEL_NAMES),
    /** A bert_config.json in Google's format. */
    bertConfig: path.optional(),
    /** What the first weights are taken from, instead of drawing them: see `readInitialWeights`. */
    initFrom: path.optional(),
    /** Rows per micro-batch. */
    batchSize: whole(1),
    /** Micro-batches per update. */
    gradAccum: whole(1),
    /** Updates in all. */
    maxSteps: whole(1),
    /** Peak learning rate. */
    lr: positive,
    /** Updates of linear warm-up. */
    warmupSteps: whole(0),
    weightDecay: nonNegative,
    /** Gradients are scaled down to this global norm. */
    maxGradNorm: positive,
    mlmProbability: z
      .number({ error: 'a number above 0 and below 1' })
      .gt(0, { error: 'a number above 0 and below 1' })
      .lt(1, { error: 'a number above 0 and below 1' }),
    /** K, negatives of each anchor. */
    negK: whole(1),
    /** W, window of the positive. */
    posWindow: whole(2),
    windowRule: oneOf(['readme', 'centered']),
    /** Temperature of the contrastive loss. */
    tau: positive,
    tcWeight: nonNegative,
    variant: oneOf(['all', 'unmasked', 'masked']),
    excludeSpecial: z.boolean({ error: 'true or false' }),
    /** Updates between checkpoints; 0: only at the end and on interruption. */
    saveSteps: whole(0),
    /** Checkpoints kept, the newest ones. */
    saveTotalLimit: whole(1),
    /** Updates between evaluations; 0: never. */
    evalSteps: whole(0),
    /** Rows of the validation split that an evaluation reads; 0: all. */
    evalRows: whole(0),
    seed: whole(0),
    backend: oneOf(['auto', 'tensorflow', 'wasm']),
    precision: oneOf(precisionChoices),
    /** Let XLA compile the graph. */
    xla: z.boolean({ error: 'true or false' }),
  })
  .readonly();

/** A complete, checked and frozen set of settings. */
export type TrainConfig = z.infer<typeof settingsSchema>;
export type SettingName = keyof TrainConfig;

/** Some of the settings, from one place: a recipe, a file, the flags. */
export type SettingsLayer = { readonly [Name in SettingName]?: TrainConfig[Name] | undefined };

export const settingNames = Object.keys(settingsSchema.unwrap().shape) as readonly SettingName[];

/** `maxGradNorm` → `max-grad-norm`: how the command line and JSON files spell a setting. */
export function flagNameOf(setting: string): string {
  return setting.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A setting as JSON files have it. */
export type SettingValue = string | number | boolean | readonly string[];

/** The settings as a JSON file that `--config` reads back. Of two names of the model, the exact one is kept. */
export function toRecipeFile(config: TrainConfig): Readonly<Record<string, SettingValue>> {
  const entries = settingNames.flatMap((name) => {
    const value = name === 'data' && config.data.length === 1 ? config.data[0] : config[name];
    const isSpare = name === 'model' && config.bertConfig !== undefined;
    return value === undefined || isSpare ? [] : [[flagNameOf(name), value] as const];
  });
  return Object.fromEntries(entries);
}

/**
 * Settings that change how a run learns and may do so on the way, when the user says so with `--override`. The place in
 * the data counts rows and the schedule counts updates, so that neither minds another batch. The weights of datasets and
 * the precision are of the same kind; they are compared apart.
 */
export const overridableSettings = [
  'batchSize',
  'gradAccum',
  'maxSteps',
  'lr',
  'warmupSteps',
  'weightDecay',
  'maxGradNorm',
] as const satisfies readonly SettingName[];

/**
 * Settings that may differ when a run is continued: where things lie, how often something is written, and what computes.
 * All others, but for the overridable ones, decide what is learnt from which data.
 */
export const freeSettings = [
  'data', // compared by the datasets' fingerprints and weights
  'out',
  'model', // compared by the model's own configuration
  'bertConfig',
  'saveSteps',
  'saveTotalLimit',
  'evalSteps',
  'evalRows',
  'backend',
  'precision', // compared with the one that is computed in
  'xla',
] as const satisfies readonly SettingName[];

/** Names what a run learns: sha256 of the settings that decide it, in a fixed order. Paths are left out. */
export function settingsHash(config: TrainConfig): string {
  const deciding = settingNames
    .filter((name) => name !== 'data' && name !== 'out' && name !== 'bertConfig')
    .map((name) => [name, config[name]]);
  return createHash('sha256').update(JSON.stringify(deciding)).digest('hex');
}
