import { expect, it } from 'vitest';
import { runCli } from '../support/commands.ts';

it('setup:tensorflow refuses a library that does not exist in one line', async () => {
  const { status, stdout, stderr } = await runCli('setup-tensorflow', ['--from', 'no-such.whl']);
  expect(stdout).toBe('');
  expect(stderr).toBe(
    'error: --from no-such.whl does not exist, expected a libtensorflow folder, .tar.gz or .whl file\n',
  );
  expect(status).toBe(1);
});

it('setup:tensorflow refuses a flag that it does not know', async () => {
  const { status, stderr } = await runCli('setup-tensorflow', ['--form', 'x']);
  expect(stderr).toMatch(/^error: unknown flag --form; did you mean --from\?/);
  expect(status).toBe(2);
});
