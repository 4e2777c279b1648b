import { spawnSync } from 'node:child_process';
import { TacoError } from '../../pipeline/errors.ts';

function searchPython(modules: readonly string[]): string | undefined {
  const candidates = [process.env.TACO_PYTHON, 'python3', 'python'];
  for (const python of candidates) {
    if (python === undefined || python === '') continue;
    const { status } = spawnSync(python, ['-c', `import ${modules.join(', ')}`], { stdio: 'ignore' });
    if (status === 0) return python;
  }
  return undefined;
}

/**
 * A Python that has the modules, from `TACO_PYTHON` or the path; undefined, with a word on the console, where
 * there is none. Tests that use it are extras: what they hold is also held by committed files.
 */
export function findPython(modules: readonly string[]): string | undefined {
  const python = searchPython(modules);
  if (python === undefined) {
    console.warn(`skipped: no Python with ${modules.join(', ')} (TACO_PYTHON names one)`);
  }
  return python;
}

/**
 * As `findPython`, for scripts that are nothing without it.
 * @throws TacoError `not-found`
 */
export function requirePython(modules: readonly string[]): string {
  const python = searchPython(modules);
  if (python !== undefined) return python;
  throw new TacoError(
    `found no Python with ${modules.join(', ')}, expected one on the path or in TACO_PYTHON; "pip install ${modules.join(' ')}" in a virtual environment makes one`,
    { code: 'not-found', stage: 'python' },
  );
}
