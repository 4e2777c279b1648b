import { expect, it } from 'vitest';
import type { ProgressState } from '../../src/cli/progress.ts';
import { createTrainingReporter } from '../../src/cli/training-reporter.ts';
import { modelPreset } from '../../src/model/config.ts';
import { trainingStepFlops } from '../../src/model/flops.ts';
import type { RunPlan } from '../../src/train/index.ts';

const model = modelPreset('tiny');
const plan = {
  config: { batchSize: 4, gradAccum: 2, mlmProbability: 0.25, maxSteps: 10, out: 'runs/x' },
  mixture: { maxSeqLen: 32 },
  model,
} as unknown as RunPlan;

function figuresWith(matrixPeak: number | undefined): { messages: string[]; figures: readonly string[] } {
  const messages: string[] = [];
  let figures: readonly string[] = [];
  const reporter = createTrainingReporter(plan, {
    update: (state: ProgressState) => {
      figures = state.figures;
    },
    message: (text: string) => messages.push(text),
    finish: () => undefined,
  });
  const progress = { step: 1, numSkipped: 0, numTokens: 256 } as never;
  const backend = { name: 'tensorflow', version: '2.21.0', device: 'CPU' } as never;
  reporter.report({
    kind: 'started',
    backend,
    precision: 'bf16',
    matrixPeak,
    progress,
    resumedFrom: undefined,
  });
  const metrics = { loss: 2, mlmLoss: 2, numTokens: 256, skipped: false } as never;
  reporter.report({ kind: 'update', progress, learningRate: 1e-4, metrics, stepMs: 500, waitMs: 0 });
  return { messages, figures };
}

it("shows the share of the machine's matrix products that an update reaches", () => {
  // 4 × 2 rows of 32 tokens, a quarter of them masked, in half a second; the machine could do twice that.
  const flops = trainingStepFlops(model, { batchSize: 8, maxSeqLen: 32, numMasked: 64 });
  const { figures, messages } = figuresWith(4 * flops);
  expect(figures).toContain('MFU 50.0 %');
  expect(messages[0]).toMatch(/tensorflow 2\.21\.0 on CPU, bf16, matrix products at \d\.\d\d GFLOP\/s$/);
});

it('shows none where it was not measured', () => {
  const { figures, messages } = figuresWith(undefined);
  expect(figures.join()).not.toContain('MFU');
  expect(messages[0]).toMatch(/, bf16$/);
});
