import { expect, it } from 'vitest';
import { runProgram } from '../support/commands.ts';

it('a benchmark explains its flags and refuses others in one line', async () => {
  const help = await runProgram('test/bench/prepare.ts', ['--help']);
  expect(help).toMatchObject({ status: 0, stderr: '' });
  expect(help.stdout).toMatch(/^Preparation from Parquet to Parquet.*--rounds <number>/s);
  const { status, stdout, stderr } = await runProgram('test/bench/prepare.ts', ['--round', '3']);
  expect(stdout).toBe('');
  expect(stderr).toBe(
    'error: unknown flag --round; did you mean --rounds? (npm run bench:prepare -- --help lists all)\n',
  );
  expect(status).toBe(2);
});

it('a stress test says in one line that the Python it needs is missing', async () => {
  const env = { PATH: '/nowhere', TACO_PYTHON: '/nowhere/python' };
  const { status, stdout, stderr } = await runProgram('test/stress/memory.ts', [], { env });
  expect(stdout).toBe('');
  expect(stderr).toMatch(
    /^error: found no Python with pyarrow, expected one on the path or in TACO_PYTHON; .*\n$/,
  );
  expect(status).toBe(1);
});
