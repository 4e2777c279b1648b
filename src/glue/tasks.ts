import { TacoError } from '../../pipeline/index.ts';

export type GlueTaskName = 'cola' | 'sst2' | 'mrpc' | 'stsb' | 'qqp' | 'mnli' | 'qnli' | 'rte' | 'wnli';

/** Names of the splits, as `nyu-mll/glue` has them; `diagnostic` is its `ax`, which a model of MNLI answers. */
export type GlueSplitName =
  | 'train'
  | 'validation'
  | 'validation_matched'
  | 'validation_mismatched'
  | 'test'
  | 'test_matched'
  | 'test_mismatched'
  | 'diagnostic';

export type MetricName = 'accuracy' | 'f1' | 'matthews' | 'pearson' | 'spearman';

/** One split and where it is kept. */
export interface GlueSplit {
  readonly name: GlueSplitName;
  /** On the Hub: `<hub>-00000-of-0000N.parquet`. */
  readonly hub: string;
  /** In a folder of the official files: the first of these that is there. */
  readonly tsv: readonly string[];
}

/** A split without labels, whose predictions go to the GLUE server. */
export interface GlueTestSplit extends GlueSplit {
  /** Name of its file in a submission. */
  readonly submission: string;
  /** Examples that the server expects predictions for. */
  readonly numExamples: number;
}

/** Columns of the official files. */
export interface TsvColumns {
  /** Of files that have a header. */
  readonly texts: readonly string[];
  readonly label: string;
  /** Number of an example in the test files. */
  readonly index: string;
  /** Names for the columns of train and dev files without a header (CoLA alone). */
  readonly withoutHeader?: readonly string[];
  /** Rows that lack columns are left out, as the official loaders do: QQP has a few. */
  readonly skipsShortRows: boolean;
}

export interface GlueTask {
  readonly name: GlueTaskName;
  /** As papers write it; also the folder of its official files. */
  readonly title: string;
  /** One or two columns of text on the Hub. */
  readonly textColumns: readonly string[];
  /** Names of the classes, in the order of their numbers; undefined for a score from 0 to 5 (regression). */
  readonly labels: readonly string[] | undefined;
  /** The score of a task is the mean of these, as on the GLUE leaderboard. */
  readonly metrics: readonly MetricName[];
  /** Whether submissions hold the names of classes instead of their numbers. */
  readonly submitsNames: boolean;
  readonly columns: TsvColumns;
  readonly train: GlueSplit;
  /** MNLI has two, the others one. */
  readonly validations: readonly GlueSplit[];
  /** MNLI has three. */
  readonly tests: readonly GlueTestSplit[];
}

/** What differs between the tasks with one validation and one test split. */
interface SimpleTask extends Pick<GlueTask, 'name' | 'title' | 'textColumns' | 'labels' | 'metrics'> {
  readonly tsvTexts?: readonly string[];
  readonly tsvLabel?: string;
  readonly tsvIndex?: string;
  readonly withoutHeader?: readonly string[];
  readonly submitsNames?: boolean;
  readonly skipsShortRows?: boolean;
  readonly numTests: number;
}

function simpleTask({ numTests, ...task }: SimpleTask): GlueTask {
  const { name, title, textColumns, labels, metrics } = task;
  const split = (of: GlueSplitName, file: string): GlueSplit => ({
    name: of,
    hub: `${name}/${of}`,
    tsv: [`${title}/${file}.tsv`],
  });
  return {
    name,
    title,
    textColumns,
    labels,
    metrics,
    submitsNames: task.submitsNames ?? false,
    columns: {
      texts: task.tsvTexts ?? textColumns,
      label: task.tsvLabel ?? 'label',
      index: task.tsvIndex ?? 'index',
      skipsShortRows: task.skipsShortRows ?? false,
      ...(task.withoutHeader === undefined ? {} : { withoutHeader: task.withoutHeader }),
    },
    train: split('train', 'train'),
    validations: [split('validation', 'dev')],
    tests: [{ ...split('test', 'test'), submission: `${title}.tsv`, numExamples: numTests }],
  };
}

/** The file that holds MRPC's train and dev together, and the pairs of ids that are dev. */
export const MRPC_CORPUS = 'MRPC/msr_paraphrase_train.txt';
export const MRPC_DEV_IDS = 'MRPC/dev_ids.tsv';

const PAIR = ['sentence1', 'sentence2'] as const;

const mnliSplit = (name: GlueSplitName, file: string): GlueSplit => ({
  name,
  hub: `mnli/${name}`,
  tsv: [`MNLI/${file}.tsv`],
});

/** The nine tasks (Wang et al. 2019, arXiv:1804.07461). */
export const GLUE_TASKS: Readonly<Record<GlueTaskName, GlueTask>> = {
  cola: simpleTask({
    name: 'cola',
    title: 'CoLA',
    textColumns: ['sentence'],
    labels: ['unacceptable', 'acceptable'],
    metrics: ['matthews'],
    withoutHeader: ['source', 'label', 'mark', 'sentence'],
    numTests: 1063,
  }),
  sst2: simpleTask({
    name: 'sst2',
    title: 'SST-2',
    textColumns: ['sentence'],
    labels: ['negative', 'positive'],
    metrics: ['accuracy'],
    numTests: 1821,
  }),
  mrpc: mrpcTask(),
  stsb: simpleTask({
    name: 'stsb',
    title: 'STS-B',
    textColumns: PAIR,
    labels: undefined,
    metrics: ['pearson', 'spearman'],
    tsvLabel: 'score',
    numTests: 1379,
  }),
  qqp: simpleTask({
    name: 'qqp',
    title: 'QQP',
    textColumns: ['question1', 'question2'],
    labels: ['not_duplicate', 'duplicate'],
    metrics: ['accuracy', 'f1'],
    tsvLabel: 'is_duplicate',
    tsvIndex: 'id',
    skipsShortRows: true,
    numTests: 390_965,
  }),
  mnli: {
    name: 'mnli',
    title: 'MNLI',
    textColumns: ['premise', 'hypothesis'],
    labels: ['entailment', 'neutral', 'contradiction'],
    metrics: ['accuracy'],
    submitsNames: true,
    columns: { texts: PAIR, label: 'gold_label', index: 'index', skipsShortRows: false },
    train: mnliSplit('train', 'train'),
    validations: [
      mnliSplit('validation_matched', 'dev_matched'),
      mnliSplit('validation_mismatched', 'dev_mismatched'),
    ],
    tests: [
      { ...mnliSplit('test_matched', 'test_matched'), submission: 'MNLI-m.tsv', numExamples: 9796 },
      { ...mnliSplit('test_mismatched', 'test_mismatched'), submission: 'MNLI-mm.tsv', numExamples: 9847 },
      {
        name: 'diagnostic',
        hub: 'ax/test',
        tsv: ['diagnostic/diagnostic.tsv', 'AX/AX.tsv', 'AX/test.tsv'],
        submission: 'AX.tsv',
        numExamples: 1104,
      },
    ],
  },
  qnli: simpleTask({
    name: 'qnli',
    title: 'QNLI',
    textColumns: ['question', 'sentence'],
    labels: ['entailment', 'not_entailment'],
    metrics: ['accuracy'],
    submitsNames: true,
    numTests: 5463,
  }),
  rte: simpleTask({
    name: 'rte',
    title: 'RTE',
    textColumns: PAIR,
    labels: ['entailment', 'not_entailment'],
    metrics: ['accuracy'],
    submitsNames: true,
    numTests: 3000,
  }),
  wnli: simpleTask({
    name: 'wnli',
    title: 'WNLI',
    textColumns: PAIR,
    labels: ['not_entailment', 'entailment'],
    metrics: ['accuracy'],
    numTests: 146,
  }),
};

/** MRPC's corpus is also handed out as one file for train and dev, with a list of what belongs to dev. */
function mrpcTask(): GlueTask {
  const task = simpleTask({
    name: 'mrpc',
    title: 'MRPC',
    textColumns: PAIR,
    labels: ['not_equivalent', 'equivalent'],
    metrics: ['accuracy', 'f1'],
    tsvTexts: ['#1 String', '#2 String'],
    tsvLabel: 'Quality',
    numTests: 1725,
  });
  const [validation] = task.validations;
  const [test] = task.tests;
  return {
    ...task,
    train: { ...task.train, tsv: [...task.train.tsv, MRPC_CORPUS] },
    validations: [{ ...validation!, tsv: [...validation!.tsv, MRPC_CORPUS] }],
    tests: [{ ...test!, tsv: [...test!.tsv, 'MRPC/msr_paraphrase_test.txt'] }],
  };
}

/** @throws TacoError `bad-config` listing the tasks */
export function glueTask(name: string): GlueTask {
  const wanted = name.toLowerCase().replaceAll(/[-_]/g, '');
  const task = Object.values(GLUE_TASKS).find((each) => each.name === wanted);
  if (task === undefined) {
    const names = Object.keys(GLUE_TASKS).join(', ');
    throw new TacoError(`"${name}" is no task of GLUE, expected one of ${names}`, {
      code: 'bad-config',
      stage: 'glue',
    });
  }
  return task;
}

/** All splits of a task. */
export function splitsOf(task: GlueTask): readonly GlueSplit[] {
  return [task.train, ...task.validations, ...task.tests];
}

/** Outputs of the model's head: classes, or 1 for a score. */
export function numOutputsOf(task: GlueTask): number {
  return task.labels?.length ?? 1;
}

/** Whether a split of the task has no labels. */
export function isTestSplit(task: GlueTask, split: GlueSplit): boolean {
  return task.tests.some(({ name }) => name === split.name);
}
