import { TacoError } from '../../pipeline/index.ts';
import type { GlueTask } from './tasks.ts';

/** One example of a split. */
export interface GlueExample {
  /** Its number in the split, by which a submission names it. */
  readonly index: number;
  /** One or two texts. */
  readonly texts: readonly string[];
  /** Number of its class, or its score from 0 to 5; undefined without a label. */
  readonly label: number | undefined;
}

const MAX_SCORE = 5;

/**
 * A label as the files hold it: the name or the number of a class, or a score.
 * @param where file, row and column, for the message
 * @throws TacoError `corrupt` for a label outside of the task's set
 */
export function parseLabel(task: GlueTask, value: unknown, where: string): number {
  const number = numberOf(value);
  if (task.labels === undefined) {
    if (number !== undefined && number >= 0 && number <= MAX_SCORE) return number;
    throw badLabel(task, value, where, `a score from 0 to ${MAX_SCORE}`);
  }
  const named = typeof value === 'string' ? task.labels.indexOf(value) : -1;
  if (named !== -1) return named;
  if (number !== undefined && Number.isInteger(number) && number >= 0 && number < task.labels.length) {
    return number;
  }
  throw badLabel(
    task,
    value,
    where,
    `one of ${task.labels.map((name, index) => `${index} (${name})`).join(', ')}`,
  );
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number' || typeof value === 'bigint') return Number(value);
  if (typeof value === 'string' && /^\s*\d+(?:\.\d+)?\s*$/.test(value)) return Number(value);
  return undefined;
}

function badLabel(task: GlueTask, value: unknown, where: string, expected: string): TacoError {
  const got = typeof value === 'string' ? `"${value.slice(0, 40)}"` : String(value);
  return new TacoError(
    `${where} is ${got}, expected ${expected} as ${task.title} has them; fetch the file again`,
    { code: 'corrupt', stage: 'glue' },
  );
}
