import { spawnSync } from 'node:child_process';

/**
 * A Python that has the modules, from `TACO_PYTHON` or the path; undefined, with a word on the console, where
 * there is none. Tests that use it are extras: what they hold is also held by committed files.
 */
export function findPython(modules: readonly string[]): string | undefined {
  const candidates = [process.env.TACO_PYTHON, 'python3', 'python'];
  for (const python of candidates) {
    if (python === undefined || python === '') continue;
    const { status } = spawnSync(python, ['-c', `import ${modules.join(', ')}`], { stdio: 'ignore' });
    if (status === 0) return python;
  }
  console.warn(`skipped: no Python with ${modules.join(', ')} (TACO_PYTHON names one)`);
  return undefined;
}
