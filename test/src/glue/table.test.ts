import { describe, expect, it } from 'vitest';
import { AVERAGED_COLUMNS } from '../../../src/glue/columns.ts';
import { compareModels, comparisonMarkdown } from '../../../src/glue/compare.ts';
import { PUBLISHED_ROWS } from '../../../src/glue/published.ts';
import type { GlueResult } from '../../../src/glue/results.ts';
import { averageOf, median, scoreTable, tableJson, tableMarkdown } from '../../../src/glue/table.ts';
import { GLUE_TASKS, type GlueTaskName } from '../../../src/glue/tasks.ts';
import { glueResult } from '../../support/glue.ts';

const AVERAGED = (Object.keys(GLUE_TASKS) as GlueTaskName[]).filter((name) => name !== 'wnli');

/** All tasks of the average with one seed; MNLI's mismatched split a point below. */
function allTasks(
  seed: number,
  score: number,
  more: Parameters<typeof glueResult>[4] = {},
): readonly GlueResult[] {
  return AVERAGED.map((name) => glueResult(name, seed, [score, score - 0.01], 0, more));
}

describe('published rows', () => {
  it('have the average that is printed with them', () => {
    for (const { scores, average } of PUBLISHED_ROWS) {
      expect(Object.keys(scores)).toEqual(AVERAGED_COLUMNS.map(({ key }) => key));
      expect(averageOf((key) => scores[key])!.toFixed(1)).toBe(average.toFixed(1));
    }
  });
});

describe('scoreTable', () => {
  it('takes medians and ranges over seeds, and averages the nine columns', () => {
    const results = [
      ...allTasks(1, 0.7),
      ...allTasks(2, 0.8),
      ...allTasks(3, 0.9),
      glueResult('wnli', 1, 0.1),
    ];
    const [row] = scoreTable([{ label: 'MLM', results }], 'last', []);
    expect(row!.scores.cola).toEqual({
      median: 80,
      least: 70,
      greatest: 90,
      numSeeds: 3,
      metrics: { matthews: 80 },
    });
    expect(row!.scores['mnli-m']!.median).toBeCloseTo(80, 9);
    expect(row!.scores['mnli-mm']!.median).toBeCloseTo(79, 9);
    expect(row!.scores.wnli!.median).toBeCloseTo(10, 9);
    expect(row!.average).toBeCloseTo((8 * 80 + 79) / 9, 9);
  });

  it('reports the epoch asked for, the mean of a task’s metrics, and 0 for what is not defined', () => {
    const results = [glueResult('mrpc', 1, 0.5, 0.6), glueResult('stsb', 1, Number.NaN, 0.4)];
    const rows = (epoch: 'last' | 'best') => scoreTable([{ label: 'x', results }], epoch, [])[0]!.scores;
    expect([rows('last').mrpc!.median, rows('best').mrpc!.median]).toEqual([50, 60]);
    expect([rows('last').stsb!.median, rows('best').stsb!.median]).toEqual([0, 40]);
    const [row] = scoreTable([{ label: 'x', results }], 'last', []);
    expect(row!.average).toBeUndefined();
    expect(row!.scores.stsb!.metrics).toEqual({ pearson: 0, spearman: 0 });
  });

  it('is written for people and for programs, with the published rows marked', () => {
    const results = [...allTasks(1, 0.5), ...allTasks(2, 0.7).slice(0, 3)];
    const rows = scoreTable(
      [
        { label: 'mine | yours', results },
        { label: 'none', results: [] },
      ],
      'last',
    );
    const lines = tableMarkdown(rows, 'last').split('\n');
    expect(lines[0]).toBe(
      '|  | MNLI-m | MNLI-mm | QQP | QNLI | SST-2 | CoLA | STS-B | MRPC | RTE | Avg | seeds |',
    );
    expect(lines[2]).toBe(
      '| mine \\| yours | 50.0 | 49.0 | 50.0 | 50.0 | 60.0 (50.0 to 70.0) | 60.0 (50.0 to 70.0) | 50.0 | 60.0 (50.0 to 70.0) | 50.0 | 53.2 | 1 to 2 |',
    );
    expect(lines[3]).toBe(`| none |${' – |'.repeat(11)}`);
    expect(lines[4]).toBe(
      '| MLM, 250k steps (published) | 76.9 | 77.4 | 85.7 | 86.2 | 89.0 | 28.8 | 85.6 | 85.9 | 59.6 | 75.0 | – |',
    );
    expect(lines[8]).toContain('the last epoch');
    expect(tableMarkdown(rows, 'best')).toContain('did best on the validation split');
    expect(lines[8]).toContain(
      "MRPC and QQP: mean of accuracy and F1, STS-B: mean of Pearson and Spearman, as on GLUE's",
    );
    expect(lines[10]).toBe(
      'mine | yours: QQP accuracy 50.0 and F1 50.0, STS-B Pearson 50.0 and Spearman 50.0, MRPC accuracy 60.0 and F1 60.0.',
    );
    const wnli = scoreTable([{ label: 'w', results: [glueResult('wnli', 1, 0.56)] }], 'last', []);
    expect(tableMarkdown(wnli, 'last')).toContain('| RTE | WNLI | Avg | seeds |');
    const json = JSON.parse(tableJson(rows, 'last')) as { rows: { isPublished: boolean }[] };
    expect(json.rows.map(({ isPublished }) => isPublished)).toEqual([false, false, true, true, true]);
    expect(json.rows).toEqual(JSON.parse(JSON.stringify(rows)));
  });

  it('takes the middle of the seeds', () => {
    expect([median([3]), median([4, 1]), median([9, 1, 2]), median([4, 1, 3, 2])]).toEqual([3, 2.5, 2, 2.5]);
  });
});

describe('compareModels', () => {
  const model = (label: string, scores: readonly number[], more: Parameters<typeof glueResult>[4] = {}) => ({
    label,
    results: scores.flatMap((score, at) => allTasks(scores.length - at, score, more)),
  });

  it('pairs seeds, and tests the differences of each column and of the average', () => {
    const first = model('MLM', [0.5, 0.5, 0.6, 0.6]);
    const second = model('TACO', [0.51, 0.53, 0.6, 0.64]);
    const extra = { ...second, results: [...second.results, glueResult('cola', 99, 0.1)] };
    const comparison = compareModels(first, extra, 'last');
    expect(comparison.columns).toHaveLength(9);
    const cola = comparison.columns.find(({ title }) => title === 'CoLA')!;
    expect(cola.pairs.map(({ seed }) => seed)).toEqual([1, 2, 3, 4]);
    expect(cola.pairs[0]).toEqual({ seed: 1, first: 60, second: 64 });
    expect(cola.meanDifference).toBeCloseTo(2, 9);
    // Differences 1, 3, 0, 4: the sum of 8 is reached with all signs equal, whatever that of the 0.
    expect(cola.signFlipP).toBe(4 / 16);
    expect(cola.tTestP).toBeCloseTo(0.11616, 4);
    expect(comparison.average!.meanDifference).toBeCloseTo(2, 9);
    expect(comparison.average!.pairs).toHaveLength(4);
    expect(comparison.unequal).toEqual([]);
  });

  it('tells when models were not fine-tuned alike, and leaves out what one of them lacks', () => {
    const first = model('MLM', [0.5, 0.5]);
    const second = model('TACO', [0.4, 0.6], {
      checkpoint: { id: 'runs/taco', step: 50_000 },
      settings: { batchSize: 32, learningRate: 5e-5, epochs: 2 },
    });
    const some = { ...second, results: second.results.filter(({ task }) => task !== 'rte') };
    const comparison = compareModels(first, some, 'last');
    expect(comparison.unequal).toEqual([{ name: 'batchSize', first: '16', second: '32' }]);
    expect(comparison.columns.map(({ title }) => title)).not.toContain('RTE');
    expect(comparison.average).toBeUndefined();
    const markdown = comparisonMarkdown(comparison, 'last');
    expect(markdown).toContain('Not fine-tuned alike: batchSize is 16 for MLM and 32 for TACO.');
    expect(markdown).toContain('| CoLA | 50.0 | 50.0 | 0.0 | 2 | 1.0000 | 1.0000 |');
    expect(markdown).not.toContain('| Avg |');
  });

  it('is written for people', () => {
    const markdown = comparisonMarkdown(
      compareModels(model('A', [0.5]), model('B', [0.483]), 'best'),
      'best',
    );
    expect(markdown.split('\n')[0]).toBe('|  | A | B | difference | seeds | p, sign-flip | p, t-test |');
    expect(markdown).toContain('| Avg | 49.9 | 48.2 | −1.7 | 1 | 1.0000 | – |');
    expect(markdown).toContain('five seeds cannot go below 0.0625');
  });
});
