import type { ColumnKey } from './columns.ts';

/** A row of a paper's table, as printed there; percent. */
export interface PublishedRow {
  readonly label: string;
  readonly scores: Readonly<Partial<Record<ColumnKey, number>>>;
  /** As printed. */
  readonly average: number;
}

/**
 * BERT-small on the validation splits, from the paper of TACO (Fu et al. 2022, ACL, 2022.acl-long.193). It gives one
 * figure a task and does not say which metric stands for MRPC, QQP and STS-B, nor which epoch was taken.
 */
export const PUBLISHED_ROWS: readonly PublishedRow[] = [
  {
    label: 'MLM, 250k steps',
    scores: {
      'mnli-m': 76.9,
      'mnli-mm': 77.4,
      qqp: 85.7,
      qnli: 86.2,
      sst2: 89.0,
      cola: 28.8,
      stsb: 85.6,
      mrpc: 85.9,
      rte: 59.6,
    },
    average: 75.0,
  },
  {
    label: 'TACO, 50k steps',
    scores: {
      'mnli-m': 76.7,
      'mnli-mm': 76.8,
      qqp: 85.2,
      qnli: 85.0,
      sst2: 87.5,
      cola: 31.3,
      stsb: 85.6,
      mrpc: 87.1,
      rte: 59.1,
    },
    average: 74.9,
  },
  {
    label: 'TACO, 250k steps',
    scores: {
      'mnli-m': 77.9,
      'mnli-mm': 78.4,
      qqp: 86.1,
      qnli: 86.5,
      sst2: 88.9,
      cola: 34.2,
      stsb: 86.1,
      mrpc: 88.1,
      rte: 59.5,
    },
    average: 76.2,
  },
];
