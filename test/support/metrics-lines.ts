import type { UpdateLine, ValidationLine } from '../../src/train/metrics.ts';

export function updateLine(step: number, loss: number | null = 1 / step): UpdateLine {
  return {
    type: 'update',
    step,
    learningRate: 0.1,
    loss,
    mlmLoss: loss,
    mlmAccuracy: 0.5,
    gradNorm: 1,
    skipped: false,
    numTokens: 10 * step,
    tokensPerSecond: 100,
    waitMs: 0.5,
  };
}

export function validationLine(step: number): ValidationLine {
  return {
    type: 'validation',
    step,
    mlmLoss: 3,
    perplexity: 20,
    mlmAccuracy: 0.125,
    tcLoss: 2,
    tcAccuracy: 0.25,
    numRows: 7,
    numMasked: 70,
    durationMs: 1,
  };
}
