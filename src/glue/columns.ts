import type { GlueSplitName, GlueTaskName } from './tasks.ts';

/** A column of the paper's table: a task, MNLI twice. */
export interface TableColumn {
  readonly key: ColumnKey;
  readonly title: string;
  readonly task: GlueTaskName;
  readonly split: GlueSplitName;
}

export type ColumnKey =
  | 'mnli-m'
  | 'mnli-mm'
  | 'qqp'
  | 'qnli'
  | 'sst2'
  | 'cola'
  | 'stsb'
  | 'mrpc'
  | 'rte'
  | 'wnli';

const MATCHED = { task: 'mnli', split: 'validation_matched' } as const;
const MISMATCHED = { task: 'mnli', split: 'validation_mismatched' } as const;
const only = (task: GlueTaskName) => ({ task, split: 'validation' }) as const;

/** The nine columns that the average is over, in the order of the paper. */
export const AVERAGED_COLUMNS: readonly TableColumn[] = [
  { key: 'mnli-m', title: 'MNLI-m', ...MATCHED },
  { key: 'mnli-mm', title: 'MNLI-mm', ...MISMATCHED },
  { key: 'qqp', title: 'QQP', ...only('qqp') },
  { key: 'qnli', title: 'QNLI', ...only('qnli') },
  { key: 'sst2', title: 'SST-2', ...only('sst2') },
  { key: 'cola', title: 'CoLA', ...only('cola') },
  { key: 'stsb', title: 'STS-B', ...only('stsb') },
  { key: 'mrpc', title: 'MRPC', ...only('mrpc') },
  { key: 'rte', title: 'RTE', ...only('rte') },
];

/** WNLI, which papers leave out: its validation split is made to mislead. Shown where it was run, never averaged. */
export const WNLI_COLUMN: TableColumn = { key: 'wnli', title: 'WNLI', ...only('wnli') };
