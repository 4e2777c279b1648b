import { beforeAll, describe } from 'vitest';
import { openBackend } from '../../src/engine/backend.ts';
import { findNativeTensorFlow } from '../../src/engine/native.ts';

export type BackendName = 'wasm' | 'tensorflow';

/** Whether a native TensorFlow lies on this machine. One that is there and does not load fails the tests. */
export const hasTensorFlow = findNativeTensorFlow().candidates.length > 0;

/**
 * The same tests on every backend: WebAssembly always, TensorFlow where there is one; elsewhere its tests are
 * skipped under a title that says why.
 */
export function describeOnEachBackend(title: string, body: (backend: BackendName) => void): void {
  for (const backend of ['wasm', 'tensorflow'] as const) {
    const isMissing = backend === 'tensorflow' && !hasTensorFlow;
    const note = isMissing ? ' (skipped: no native TensorFlow, see npm run setup:tensorflow)' : '';
    describe.skipIf(isMissing)(`${title} on ${backend}${note}`, () => {
      beforeAll(async () => {
        await openBackend(backend);
      });
      body(backend);
    });
  }
}
