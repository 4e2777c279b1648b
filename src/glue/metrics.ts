import { type GlueTask, type MetricName, numOutputsOf } from './tasks.ts';

/** Metrics of one evaluation, from −1 or 0 to 1; NaN where a correlation is not defined. */
export type Metrics = Readonly<Partial<Record<MetricName, number>>>;

type Values = ArrayLike<number>;

/**
 * What a model says of each example: the class with the largest output (the first of equals), or its one output.
 * @param outputs [num examples · outputs of the head]
 */
export function predictionsOf(task: GlueTask, outputs: Float32Array): Float32Array {
  const numOutputs = numOutputsOf(task);
  if (numOutputs === 1) return outputs.slice();
  return Float32Array.from({ length: outputs.length / numOutputs }, (_, example) => {
    let best = 0;
    for (let at = 1; at < numOutputs; at += 1) {
      if (outputs[example * numOutputs + at]! > outputs[example * numOutputs + best]!) best = at;
    }
    return best;
  });
}

/** The metrics of a task. @throws RangeError for no examples, or counts that differ */
export function computeMetrics(task: GlueTask, predictions: Values, labels: Values): Metrics {
  return Object.fromEntries(task.metrics.map((name) => [name, METRICS[name](predictions, labels)]));
}

/**
 * A task's score: the mean of its metrics, as on the GLUE leaderboard. A correlation that is not defined counts as
 * 0: a model that answers the same to everything knows nothing of the order.
 */
export function scoreOf(metrics: Readonly<Record<string, number | null>>): number {
  const values = Object.values(metrics).map((value) => (value === null || Number.isNaN(value) ? 0 : value));
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Share of predictions that are right. */
export function accuracy(predictions: Values, labels: Values): number {
  requirePairs(predictions, labels);
  let right = 0;
  for (let at = 0; at < labels.length; at += 1) if (predictions[at] === labels[at]) right += 1;
  return right / labels.length;
}

/** F1 of class 1; 0 when neither predictions nor labels have it, as scikit-learn says. */
export function f1(predictions: Values, labels: Values): number {
  const { truePositives, falsePositives, falseNegatives } = confusion(predictions, labels);
  const total = 2 * truePositives + falsePositives + falseNegatives;
  return total === 0 ? 0 : (2 * truePositives) / total;
}

/** Matthews' correlation of two classes; 0 when predictions or labels are all the same, as scikit-learn says. */
export function matthews(predictions: Values, labels: Values): number {
  const { truePositives, falsePositives, falseNegatives, trueNegatives } = confusion(predictions, labels);
  const scale =
    Math.sqrt((truePositives + falsePositives) * (trueNegatives + falseNegatives)) *
    Math.sqrt((truePositives + falseNegatives) * (trueNegatives + falsePositives));
  if (scale === 0) return 0;
  return (truePositives * trueNegatives - falsePositives * falseNegatives) / scale;
}

/** Pearson's correlation; NaN when either side is constant or there is one example, as SciPy says. */
export function pearson(predictions: Values, labels: Values): number {
  requirePairs(predictions, labels);
  const x = centred(predictions);
  const y = centred(labels);
  if (x === undefined || y === undefined) return Number.NaN;
  let product = 0;
  for (let at = 0; at < x.length; at += 1) product += x[at]! * y[at]!;
  return Math.max(-1, Math.min(1, product));
}

/** Spearman's correlation: Pearson's of the ranks, equal values sharing the mean of theirs. NaN like Pearson's. */
export function spearman(predictions: Values, labels: Values): number {
  requirePairs(predictions, labels);
  if (hasNaN(predictions) || hasNaN(labels)) return Number.NaN;
  return pearson(ranks(predictions), ranks(labels));
}

const METRICS: Readonly<Record<MetricName, (predictions: Values, labels: Values) => number>> = {
  accuracy,
  f1,
  matthews,
  pearson,
  spearman,
};

interface Confusion {
  readonly truePositives: number;
  readonly falsePositives: number;
  readonly falseNegatives: number;
  readonly trueNegatives: number;
}

function confusion(predictions: Values, labels: Values): Confusion {
  requirePairs(predictions, labels);
  const counts = [0, 0, 0, 0];
  for (let at = 0; at < labels.length; at += 1) {
    const cell = (labels[at] === 1 ? 2 : 0) + (predictions[at] === 1 ? 1 : 0);
    counts[cell] = counts[cell]! + 1;
  }
  return {
    trueNegatives: counts[0]!,
    falsePositives: counts[1]!,
    falseNegatives: counts[2]!,
    truePositives: counts[3]!,
  };
}

/** Deviations from the mean, of length 1 together; undefined for values that are all the same. */
function centred(values: Values): Float64Array | undefined {
  const deviations = Float64Array.from(values);
  if (deviations.every((value) => value === deviations[0])) return undefined;
  const mean = deviations.reduce((sum, value) => sum + value, 0) / deviations.length;
  // Divided by the largest first, so that no square leaves the range of doubles.
  let largest = 0;
  for (const value of deviations) largest = Math.max(largest, Math.abs(value - mean));
  const scaled = deviations.map((value) => (value - mean) / largest);
  const norm = Math.sqrt(scaled.reduce((sum, value) => sum + value * value, 0));
  return scaled.map((value) => value / norm);
}

function ranks(values: Values): Float64Array {
  const order = Uint32Array.from({ length: values.length }, (_, at) => at).sort(
    (a, b) => values[a]! - values[b]!,
  );
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end += 1;
    for (let at = start; at < end; at += 1) result[order[at]!] = (start + 1 + end) / 2;
    start = end;
  }
  return result;
}

function hasNaN(values: Values): boolean {
  return Array.prototype.some.call(values, Number.isNaN);
}

function requirePairs(predictions: Values, labels: Values): void {
  if (predictions.length === labels.length && labels.length > 0) return;
  throw new RangeError(
    `${predictions.length} predictions for ${labels.length} labels, expected as many, and one at least`,
  );
}
