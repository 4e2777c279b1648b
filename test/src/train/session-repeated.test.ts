import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import type { StepMetrics } from '../../../src/train/session.ts';
import { describeOnEachBackend } from '../../support/backends.ts';

const script = fileURLToPath(new URL('../../support/print-training.ts', import.meta.url));
const run = promisify(execFile);

interface Printed {
  readonly updates: readonly StepMetrics[];
  readonly state: string;
}

async function trainInProcess(backend: string, precision: string): Promise<Printed> {
  const args = ['--import', import.meta.resolve('tsx'), script, backend, precision];
  const { stdout } = await run(process.execPath, args);
  return JSON.parse(stdout) as Printed;
}

describeOnEachBackend('two runs of a seed', (backend) => {
  it.each(backend === 'wasm' ? ['f32'] : ['f32', 'bf16'])(
    'have the same bits in 20 updates of tiny TACO in %s',
    async (precision) => {
      const runs = [trainInProcess(backend, precision), trainInProcess(backend, precision)];
      const [first, second] = await Promise.all(runs);
      expect(first!.updates).toHaveLength(20);
      expect(first!.updates.at(-1)!.loss).toBeLessThan(first!.updates[0]!.loss);
      expect(second).toEqual(first);
    },
    120_000,
  );
});
