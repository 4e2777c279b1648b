import { expect, it } from 'vitest';
import { runCli } from '../support/commands.ts';

it('doctor reports and succeeds where training is possible', async () => {
  const { status, stdout } = await runCli('doctor', [], { env: { HF_TOKEN: 'hf_secret' } });
  expect(stdout).toMatch(/^Node +ok +\d+\./m);
  expect(stdout).toMatch(/^WebAssembly +ok +4\.22\.0 on the CPU works/m);
  expect(stdout).toMatch(/^HF_TOKEN +ok +set$/m);
  expect(stdout).not.toContain('hf_secret');
  expect(stdout).toContain('Training is possible');
  expect(status).toBe(0);
});
