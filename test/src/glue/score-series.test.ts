import { expect, it } from 'vitest';
import { checkpointScores } from '../../../src/glue/score-series.ts';
import { glueResult } from '../../support/glue.ts';

const at = (step: number) => ({ checkpoint: { id: `weights of ${step}`, step } });

it('checkpoints of a folder make a curve, over the columns that all have and the seeds that have them', () => {
  const models = [
    {
      label: 'runs/mlm/checkpoint-200',
      results: [
        glueResult('rte', 1, 0.6, 0, at(200)),
        glueResult('cola', 1, 0.2, 0, at(200)),
        glueResult('rte', 2, 0.8, 0, at(200)),
        glueResult('cola', 2, 0.4, 0, at(200)),
        // Without CoLA this seed's mean would be of another column.
        glueResult('rte', 3, 1, 0, at(200)),
      ],
    },
    {
      label: 'runs/mlm/checkpoint-100',
      results: [
        glueResult('rte', 1, 0.5, 0, at(100)),
        glueResult('cola', 1, 0.1, 0, at(100)),
        glueResult('sst2', 1, 0.9, 0, at(100)),
      ],
    },
    {
      label: 'other/mlm/checkpoint-100',
      results: [glueResult('rte', 1, 0.5, 0.7, at(100)), glueResult('cola', 1, 0, 0.1, at(100))],
    },
    { label: 'out/a', results: [glueResult('rte', 1, 0.5, 0, at(0)), glueResult('cola', 1, 0, 0, at(0))] },
    { label: 'out/b', results: [glueResult('rte', 1, 0.5, 0, at(0)), glueResult('cola', 2, 0, 0, at(0))] },
  ];
  const { series, columns } = checkpointScores(models, 'last');
  expect(columns.map(({ title }) => title)).toEqual(['CoLA', 'RTE']);
  expect(series.map(({ label }) => label)).toEqual(['runs/mlm', 'other/mlm', 'out/a', 'out/b']);
  const [mlm, other, , incomplete] = series;
  expect(mlm!.points[0]!.step).toBe(200);
  expect(mlm!.points[0]!.median).toBeCloseTo(50, 9);
  expect(mlm!.points[0]!.least).toBeCloseTo(40, 9);
  expect(mlm!.points[0]!.greatest).toBeCloseTo(60, 9);
  expect(mlm!.points[1]!.median).toBeCloseTo(30, 9);
  expect(other!.points[0]!.median).toBeCloseTo(25, 9);
  expect(incomplete!.points).toEqual([]);
  expect(checkpointScores(models, 'best').series[1]!.points[0]!.median).toBeCloseTo(40, 9);
});
