import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { describeOnEachBackend } from '../../support/backends.ts';
import {
  type CurveHashes,
  type CurveKind,
  curveBatches,
  curveHashes,
  curveKinds,
  curveSession,
  curveUpdates,
  finetuneRun,
  finetuneRunAsJson,
} from '../../support/finetune-curve.ts';

type ReferenceStep = Readonly<Record<'loss' | 'gradNorm', number>>;

const fixture = JSON.parse(
  readFileSync(new URL('../../fixtures/finetune/curves.json', import.meta.url), 'utf8'),
) as {
  readonly settings: unknown;
  readonly inputs: Readonly<Record<CurveKind, CurveHashes>>;
  readonly curves: Readonly<Record<CurveKind, readonly ReferenceStep[]>>;
};

/** |a / b − 1| */
const deviation = (actual: number, expected: number): number => Math.abs(actual / expected - 1);

describeOnEachBackend('fine-tuning against PyTorch', () => {
  it.each(Object.keys(curveKinds) as CurveKind[])(
    'follows the losses of 30 updates with %s as labels within 0.01 percent',
    (kind) => {
      const batches = curveBatches(kind);
      const session = curveSession(kind);
      try {
        expect(
          { settings: finetuneRunAsJson(), inputs: curveHashes(batches, session.exportParameters()) },
          'settings, rows or initial weights are no longer those of the fixture: make it anew, see test/fixtures/finetune/README.md',
        ).toEqual({ settings: fixture.settings, inputs: fixture.inputs[kind] });
        expect(fixture.curves[kind]).toHaveLength(finetuneRun.numSteps);
        let step = 0;
        for (const { loss, gradNorm, skipped } of curveUpdates(session, batches)) {
          const expected = fixture.curves[kind][step]!;
          expect(skipped).toBe(false);
          expect(deviation(loss, expected.loss), `loss of step ${step}`).toBeLessThan(1e-4);
          expect(deviation(gradNorm, expected.gradNorm), `norm of step ${step}`).toBeLessThan(1e-3);
          step += 1;
        }
      } finally {
        session.dispose();
      }
    },
    300_000,
  );
});
