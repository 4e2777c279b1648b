import { z } from 'zod';
import { TacoError } from '../../pipeline/index.ts';
import { type PrecisionChoice, precisionChoices } from '../engine/index.ts';

const whole = (least: number) => {
  const error = `a whole number of at least ${least}`;
  return z.int({ error }).min(least, { error });
};

/** The settings of a fine-tuning, spelt like flags; the defaults are those of the published results. */
const settingsSchema = z
  .strictObject({
    /** Longer examples are cut, special tokens included. */
    'max-seq-len': whole(8).default(128),
    'batch-size': whole(1).default(16),
    /** Peak learning rate. */
    lr: z.number().positive({ error: 'a number above 0' }).default(5e-5),
    epochs: whole(1).default(4),
    /** Updates of linear warm-up. */
    'warmup-steps': whole(0).default(100),
    /** Not on biases and LayerNorm. */
    'weight-decay': z.number().nonnegative({ error: 'a number of at least 0' }).default(0),
    precision: z
      .enum(precisionChoices, { error: `one of ${precisionChoices.join(', ')}` })
      .default('f32' satisfies PrecisionChoice),
  })
  .readonly();

export type FinetuneSettings = z.infer<typeof settingsSchema>;

/** What a user gave, by flag. */
export type RawFinetuneSettings = { readonly [Name in keyof FinetuneSettings]?: number | string | undefined };

/** @throws TacoError `bad-config` naming the flag, what was got and what was expected */
export function finetuneSettings(given: RawFinetuneSettings): FinetuneSettings {
  const parsed = settingsSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const name = String(path[0]) as keyof FinetuneSettings;
  throw new TacoError(`--${name} is ${JSON.stringify(given[name])}, expected ${message}`, {
    code: 'bad-config',
    stage: 'glue',
  });
}
