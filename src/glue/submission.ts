import { writeFileAtomic } from '../../pipeline/index.ts';
import { GLUE_TASKS, type GlueTask, type GlueTestSplit } from './tasks.ts';
import { zipOf } from './zip.ts';

/** One file of a submission. */
export interface SubmissionFile {
  /** `CoLA.tsv`, … */
  readonly name: string;
  readonly numExamples: number;
  /** `index` and `prediction`, tabs between, one line an example. */
  readonly text: string;
}

const MAX_SCORE = 5;

/**
 * Predictions for a test split as the GLUE server reads them: numbers of classes, their names for MNLI, QNLI and RTE,
 * scores within 0 to 5 with three decimals for STS-B. Lines come in the order of the indexes.
 * @param indexes [num examples] as in the test file
 * @param predictions [num examples] classes or scores
 * @throws RangeError for counts that differ, an index given twice or a prediction that is none
 */
export function submissionFile(
  task: GlueTask,
  split: GlueTestSplit,
  indexes: ArrayLike<number>,
  predictions: ArrayLike<number>,
): SubmissionFile {
  if (indexes.length !== predictions.length) {
    throw new RangeError(`${predictions.length} predictions for ${indexes.length} examples`);
  }
  const order = Uint32Array.from({ length: indexes.length }, (_, at) => at).sort(
    (a, b) => indexes[a]! - indexes[b]!,
  );
  const lines = ['index\tprediction'];
  for (const [place, at] of order.entries()) {
    const index = indexes[at]!;
    if (place > 0 && index === indexes[order[place - 1]!]) {
      throw new RangeError(`${split.submission}: two predictions for example ${index}, expected one`);
    }
    lines.push(
      `${index}\t${predictionText(task, predictions[at]!, `${split.submission}: example ${index}`)}`,
    );
  }
  return { name: split.submission, numExamples: order.length, text: `${lines.join('\n')}\n` };
}

function predictionText(task: GlueTask, prediction: number, where: string): string {
  if (task.labels === undefined) {
    if (Number.isNaN(prediction)) throw new RangeError(`${where} has the score NaN, expected a number`);
    return Math.min(MAX_SCORE, Math.max(0, prediction)).toFixed(3);
  }
  const name = task.labels[prediction];
  if (name === undefined) {
    throw new RangeError(`${where} has class ${prediction}, expected one of 0 to ${task.labels.length - 1}`);
  }
  return task.submitsNames ? name : String(prediction);
}

/** What keeps the server from taking a submission, a line each: files that are missing or not whole. */
export function submissionGaps(files: readonly SubmissionFile[]): readonly string[] {
  return testSplits().flatMap(({ submission, numExamples }) => {
    const file = files.find(({ name }) => name === submission);
    if (file === undefined) return [`${submission} is missing`];
    return file.numExamples === numExamples
      ? []
      : [`${submission} has ${file.numExamples} predictions, the server expects ${numExamples}`];
  });
}

function testSplits(): readonly GlueTestSplit[] {
  return Object.values(GLUE_TASKS).flatMap(({ tests }) => tests);
}

/**
 * Writes the archive that the server takes.
 * @throws TacoError `disk`
 */
export async function writeSubmission(path: string, files: readonly SubmissionFile[]): Promise<void> {
  await writeFileAtomic(path, zipOf(files.map(({ name, text }) => ({ name, data: Buffer.from(text) }))));
}
