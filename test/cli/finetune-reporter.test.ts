import { expect, it } from 'vitest';
import { createFinetuneReporter } from '../../src/cli/finetune-reporter.ts';
import { createProgress } from '../../src/cli/progress.ts';
import { glueTask } from '../../src/glue/index.ts';
import { glueResult } from '../support/glue.ts';

it('tells people how a fine-tuning goes', () => {
  let now = 0;
  let written = '';
  const stream = { write: (text: string) => (written += text) };
  const progress = createProgress({ stream, plainIntervalMs: 100, now: () => now });
  const report = createFinetuneReporter(progress, () => now);
  const place = { task: glueTask('mnli'), seed: 7 };
  const metrics = (loss: number, skipped = false) => ({ loss, gradNorm: 1, skipped });
  const result = glueResult('mnli', 7, [0.5, 0.6], [0.7, 0.8]);
  const stages: (() => void)[] = [
    () => {
      report({ ...place, kind: 'known', result });
    },
    () => {
      report({ ...place, kind: 'started', numExamples: 32, numTruncated: 3 });
    },
    () => {
      report({ ...place, kind: 'update', step: 1, numSteps: 4, metrics: metrics(3) });
    },
    () => {
      report({ ...place, kind: 'update', step: 2, numSteps: 4, metrics: metrics(Number.NaN, true) });
    },
    () => {
      report({ ...place, kind: 'update', step: 3, numSteps: 4, metrics: metrics(1) });
    },
    () => {
      report({ ...place, kind: 'prediction', split: 'validation_matched', done: 16, total: 40 });
    },
    () => {
      report({ ...place, kind: 'evaluation', evaluation: result.epochs[1]!, numEpochs: 2 });
    },
    () => {
      report({ ...place, kind: 'finished', result, predictionFiles: ['x/MNLI-m.tsv'] });
    },
  ];
  for (const stage of stages) {
    now += 1000;
    stage();
  }
  expect(written).toMatchInlineSnapshot(`
    "MNLI, seed 7: finished before: last 55.0, best 75.0 (epoch 1)
    MNLI, seed 7: 32 training examples, 3 of them cut
    MNLI, seed 7  [██████░░░░░░░░░░░░░░░░░░]  25.0 %  step 1/4  loss 3.000
    MNLI, seed 7: update 2 is skipped, its loss or gradient is not finite
    MNLI, seed 7  [████████████░░░░░░░░░░░░]  50.0 %  step 2/4  loss 3.000  ETA 2 s
    MNLI, seed 7  [██████████████████░░░░░░]  75.0 %  step 3/4  loss 2.000  ETA 1 s
    MNLI, seed 7  [██████████████████░░░░░░]  75.0 %  validation_matched: 16/40 predicted  ETA 2 s
    MNLI, seed 7: epoch 2/2: validation_matched accuracy 50.0; validation_mismatched accuracy 60.0
    MNLI, seed 7: predictions in x/MNLI-m.tsv
    MNLI, seed 7: last 55.0, best 75.0 (epoch 1) (6 s)
    "
  `);
});
