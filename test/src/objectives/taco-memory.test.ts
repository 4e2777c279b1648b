import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { describeOnEachBackend } from '../../support/backends.ts';

const script = fileURLToPath(new URL('../../support/measure-contrastive-memory.ts', import.meta.url));

describeOnEachBackend('memory of the token-level contrastive loss', (backend) => {
  it('grows by less than 150 MB at B = 16, L = 128, K = 50, H = 512', () => {
    const output = execFileSync(process.execPath, ['--import', import.meta.resolve('tsx'), script, backend], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const { extraBytes } = JSON.parse(output) as { readonly extraBytes: number };
    // Gradients and unit vectors alone are 12 MB: less would mean that nothing was measured.
    expect(extraBytes).toBeGreaterThan(8e6);
    expect(extraBytes).toBeLessThan(150e6);
  });
});
