import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { messageOf, systemCodeOf, TacoError } from '../../pipeline/index.ts';

/** JSON has no NaN and no infinity: null stands for both. */
const number = z.number().nullable();

const updateSchema = z
  .object({
    type: z.literal('update'),
    /** Updates made, this one included. */
    step: z.int().positive(),
    learningRate: number,
    loss: number,
    mlmLoss: number,
    mlmAccuracy: number,
    tcLoss: number.optional(),
    tcAccuracy: number.optional(),
    gradNorm: number,
    /** True when the update was left out because loss or gradient were not finite. */
    skipped: z.boolean(),
    /** Tokens trained on so far. */
    numTokens: z.int().nonnegative(),
    /** Of this update alone. */
    tokensPerSecond: number,
    /** Time without a batch to work on before this update. */
    waitMs: number,
  })
  .readonly();

const validationSchema = z
  .object({
    type: z.literal('validation'),
    /** Updates made before the evaluation. */
    step: z.int().nonnegative(),
    mlmLoss: number,
    perplexity: number,
    mlmAccuracy: number,
    tcLoss: number.optional(),
    tcAccuracy: number.optional(),
    numRows: z.int().nonnegative(),
    numMasked: z.int().nonnegative(),
    durationMs: number,
  })
  .readonly();

const lineSchema = z.discriminatedUnion('type', [updateSchema, validationSchema]);

export type UpdateLine = z.infer<typeof updateSchema>;
export type ValidationLine = z.infer<typeof validationSchema>;
/** One line of `metrics.jsonl`. */
export type MetricsLine = UpdateLine | ValidationLine;

/**
 * All lines of a metrics file; none when there is no file. A torn last line is left out.
 * @throws TacoError `corrupt` for any other line that is not a metric
 */
export async function readMetrics(path: string): Promise<readonly MetricsLine[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return [];
    throw new TacoError(`cannot read the metrics ${path}: ${messageOf(error)}`, {
      code: 'disk',
      stage: 'metrics',
      path,
      cause: error,
    });
  }
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  lines.pop();
  return lines.map((line, index) => {
    try {
      return lineSchema.parse(JSON.parse(line));
    } catch (error) {
      throw new TacoError(`line ${index + 1} of ${path} is not a metric of a run; remove it to go on`, {
        code: 'corrupt',
        stage: 'metrics',
        path,
        cause: error,
      });
    }
  });
}
