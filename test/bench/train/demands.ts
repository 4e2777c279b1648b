import type { How } from './contender.ts';
import type { Result, Results } from './measure.ts';

/** What is asked of the results of a group. */
interface Demand {
  readonly group: string;
  readonly text: string;
  /** Undefined where a contender is missing. */
  readonly measure: (results: Results) => Measure | undefined;
  readonly atLeast?: number;
  readonly atMost?: number;
}

interface Measure {
  readonly value: number;
  /** The value and what it comes from. */
  readonly text: string;
}

/** Tokens a second of the first over those of the second. */
function ratio(ours: Result | undefined, theirs: Result | undefined): Measure | undefined {
  if (ours === undefined || theirs === undefined) return undefined;
  const value = ours.tokensPerSecond / theirs.tokensPerSecond;
  const rates = [ours, theirs].map(({ tokensPerSecond }) => Math.round(tokensPerSecond).toLocaleString('en'));
  return { value, text: `${value.toFixed(2)} times (${rates.join(' / ')} tokens/s)` };
}

/** Time of a step with TC over that of one without, less one. */
function extraTime(results: Results): Measure | undefined {
  const [mlm, taco] = [results('ours', 'f32'), results('ours', 'f32', 'taco')];
  if (mlm === undefined || taco === undefined) return undefined;
  const value = taco.medianMs / mlm.medianMs - 1;
  return {
    value,
    text: `${percent(value)} (${taco.medianMs.toFixed(0)} / ${mlm.medianMs.toFixed(0)} ms)`,
  };
}

function extraMemory(results: Results): Measure | undefined {
  const [mlm, taco] = [results('ours', 'f32'), results('ours', 'f32', 'taco')];
  if (mlm === undefined || taco === undefined) return undefined;
  const value = taco.peakBytes - mlm.peakBytes;
  return { value, text: `${megabytes(value)} (${megabytes(taco.peakBytes)} / ${megabytes(mlm.peakBytes)})` };
}

function most(
  results: Results,
  of: (result: Result) => number | undefined,
  textOf: (value: number) => string,
): Measure | undefined {
  const values = (['f32', 'bf16'] as const)
    .flatMap((precision) => [results('ours', precision), results('ours', precision, 'taco')])
    .flatMap((result) => (result === undefined ? [] : (of(result) ?? [])));
  if (values.length === 0) return undefined;
  const value = Math.max(...values);
  return { value, text: textOf(value) };
}

/** How many times as fast ours is. */
function speed(
  group: string,
  [ours, mode]: readonly ['f32' | 'bf16', 'mlm' | 'taco'],
  [how, theirs]: readonly [How, 'f32' | 'bf16'],
  atLeast?: number,
): Demand {
  const bound = atLeast === undefined ? '' : `, at least ${atLeast} times`;
  return {
    group,
    text: `${mode === 'mlm' ? 'MLM' : 'TACO'} in ${ours} against ${how} in ${theirs}${bound}`,
    measure: (results) => ratio(results('ours', ours, mode), results(how, theirs, mode)),
    ...(atLeast === undefined ? {} : { atLeast }),
  };
}

const speeds: readonly Demand[] = [
  speed('quick', ['f32', 'mlm'], ['original', 'f32']),
  speed('mlm-f32', ['f32', 'mlm'], ['original', 'f32'], 2.5),
  speed('mlm-f32', ['f32', 'mlm'], ['tuned PyTorch', 'f32'], 1.3),
  speed('mlm-f32', ['f32', 'mlm'], ['tf.function', 'f32'], 0.95),
  speed('mlm-f32', ['f32', 'mlm'], ['tf.function, XLA', 'f32']),
  speed('mlm-bf16', ['bf16', 'mlm'], ['original', 'f32'], 5),
  speed('mlm-bf16', ['bf16', 'mlm'], ['original', 'bf16']),
  speed('mlm-bf16', ['bf16', 'mlm'], ['tuned PyTorch', 'bf16'], 1.1),
  speed('mlm-bf16', ['bf16', 'mlm'], ['tf.function', 'bf16']),
  speed('taco', ['f32', 'taco'], ['original', 'f32'], 4),
  speed('taco', ['bf16', 'taco'], ['original', 'f32'], 7),
  speed('base', ['f32', 'mlm'], ['original', 'f32']),
  speed('base', ['f32', 'mlm'], ['tuned PyTorch', 'f32']),
  speed('base', ['f32', 'mlm'], ['tf.function', 'f32']),
  speed('base', ['bf16', 'mlm'], ['original', 'f32']),
  speed('base', ['bf16', 'mlm'], ['tuned PyTorch', 'bf16']),
];

const costs: readonly Demand[] = [
  ...(['taco', 'taco-large'] as const).map((group) => ({
    group,
    text: 'TACO beside MLM takes at most 12 % more time',
    atMost: 0.12,
    measure: extraTime,
  })),
  { group: 'taco', text: 'TACO beside MLM takes at most 150 MB more', atMost: 150e6, measure: extraMemory },
  {
    group: 'taco-large',
    text: 'TACO beside MLM takes at most 500 MB more',
    atMost: 500e6,
    measure: extraMemory,
  },
  ...(['mlm-f32', 'mlm-bf16', 'taco'] as const).flatMap((group) => [
    {
      group,
      text: 'ours takes at most 2.5 GB',
      atMost: 2.5e9,
      measure: (results: Results) => most(results, ({ peakBytes }) => peakBytes, megabytes),
    },
    {
      group,
      text: 'of our step at most 3 % are not TensorFlow',
      atMost: 0.03,
      measure: (results: Results) => most(results, ({ overhead }) => overhead, percent),
    },
  ]),
];

const demands: readonly Demand[] = [...speeds, ...costs];

/** A line for each ratio and each demand of the group, and whether all of the latter are met. */
export function verdictsOf(group: string, results: Results): { lines: string[]; allMet: boolean } {
  let allMet = true;
  const lines = demands
    .filter((demand) => demand.group === group)
    .map(({ text, measure, atLeast, atMost }) => {
      const measured = measure(results);
      if (measured === undefined) return `  –     ${text}: not measured`;
      const { value, text: found } = measured;
      if (atLeast === undefined && atMost === undefined) return `        ${text}: ${found}`;
      const isMet =
        value >= (atLeast ?? Number.NEGATIVE_INFINITY) && value <= (atMost ?? Number.POSITIVE_INFINITY);
      allMet &&= isMet;
      return `  ${isMet ? 'pass' : 'FAIL'}  ${text}: ${found}`;
    });
  return { lines, allMet };
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

export function megabytes(bytes: number): string {
  return `${Math.round(bytes / 1e6).toLocaleString('en')} MB`;
}
