import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { Precision } from '../../../src/engine/index.ts';
import { type StepMetrics, TrainingSession } from '../../../src/train/session.ts';
import { describeOnEachBackend } from '../../support/backends.ts';
import { temporaryFolder } from '../../support/folders.ts';
import {
  hashesOf,
  type InputHashes,
  parametersOf,
  referenceBatches,
  referenceRun,
  referenceSettings,
  updatesOf,
} from '../../support/reference-curve.ts';

type ReferenceStep = Readonly<Record<'loss' | 'mlmLoss' | 'tcLoss' | 'gradNorm', number>>;

const fixture = JSON.parse(
  readFileSync(new URL('../../fixtures/train/curves.json', import.meta.url), 'utf8'),
) as {
  readonly settings: unknown;
  readonly inputs: InputHashes;
  readonly curves: Readonly<Record<'f32' | 'bf16', readonly ReferenceStep[]>>;
};

/** Several times what an idle machine of two cores takes. */
const TIMEOUT_MS = 300_000;

/** Makes the updates of a curve and looks at each. */
async function follow(
  precision: Precision,
  numSteps: number,
  look: (metrics: StepMetrics, step: number) => void,
): Promise<void> {
  const batches = await referenceBatches(await temporaryFolder());
  const session = new TrainingSession({ ...referenceRun.session, precision });
  try {
    expect(
      { settings: referenceSettings(), inputs: hashesOf(batches, parametersOf(session)) },
      'settings, rows, masks, pairs or initial weights are no longer those of the fixture: make it anew, see test/fixtures/train/README.md',
    ).toEqual({ settings: fixture.settings, inputs: fixture.inputs });
    let step = 0;
    for (const metrics of updatesOf(session, batches.slice(0, numSteps))) {
      look(metrics, step);
      step += 1;
    }
  } finally {
    session.dispose();
  }
}

/** |a / b − 1| */
const deviation = (actual: number, expected: number): number => Math.abs(actual / expected - 1);

describeOnEachBackend('small TACO against PyTorch', (backend) => {
  // WebAssembly has one thread.
  const numSteps = backend === 'wasm' ? 10 : referenceRun.numSteps;

  it(
    `follows the losses of ${numSteps} updates within 0.1 %`,
    async () => {
      expect(fixture.curves.f32).toHaveLength(referenceRun.numSteps);
      await follow('f32', numSteps, (metrics, step) => {
        const expected = fixture.curves.f32[step]!;
        expect(deviation(metrics.loss, expected.loss), `loss of step ${step}`).toBeLessThan(0.001);
        expect(deviation(metrics.gradNorm, expected.gradNorm), `norm of step ${step}`).toBeLessThan(0.01);
      });
    },
    TIMEOUT_MS,
  );

  it.skipIf(backend === 'wasm')(
    'follows the losses of 30 updates in bf16 within 0.1 %',
    async () => {
      const { f32, bf16 } = fixture.curves;
      expect(bf16).toHaveLength(30);
      const fromReference = { f32: 0, bf16: 0 };
      await follow('bf16', bf16.length, (metrics, step) => {
        expect(deviation(metrics.loss, bf16[step]!.loss), `loss of step ${step}`).toBeLessThan(0.001);
        fromReference.f32 += deviation(metrics.gradNorm, f32[step]!.gradNorm);
        fromReference.bf16 += deviation(metrics.gradNorm, bf16[step]!.gradNorm);
      });
      // Rounding products is no noise: gradients are nearer to those that PyTorch rounds than to the exact ones.
      expect(fromReference.bf16).toBeLessThan(fromReference.f32);
    },
    TIMEOUT_MS,
  );
});
