import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = normalize(join(import.meta.dirname, '..'));

interface Import {
  /** Importing file, relative to the root, with `/`. */
  readonly from: string;
  /** Imported file relative to the root, or the package's name. */
  readonly to: string;
}

function sourceFiles(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))
    .map((name) => join(folder, name).replaceAll('\\', '/'));
}

/** Static, dynamic and type imports; a name in a string that is no import only makes the rule stricter. */
function importsOf(file: string): Import[] {
  const code = readFileSync(join(ROOT, file), 'utf8');
  const targets = [
    ...code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"]([^'"]+)['"]/g),
    ...code.matchAll(/new URL\(\s*['"](\.[^'"]+\.ts)['"]/g),
  ].map((match) => match[1]!);
  return targets.map((target) => ({
    from: file,
    to: target.startsWith('.')
      ? relative(ROOT, join(ROOT, dirname(file), target)).replaceAll('\\', '/')
      : target,
  }));
}

const files = [...sourceFiles('pipeline'), ...sourceFiles('src')];
const imports = files.flatMap(importsOf);

function violations(isForbidden: (edge: Import) => boolean): string[] {
  return imports.filter(isForbidden).map((edge) => `${edge.from} imports ${edge.to}`);
}

/** Folders whose code computes one training step: the same numbers on every backend. */
const STEP_FOLDERS = ['src/model/', 'src/objectives/', 'src/optim/', 'src/ops/'];
const isStepCode = (file: string): boolean => STEP_FOLDERS.some((folder) => file.startsWith(folder));

describe('imports go one way', () => {
  it('finds the imports it judges', () => {
    expect(files.length).toBeGreaterThan(40);
    expect(imports.some(({ to }) => to === 'rxjs')).toBe(true);
    expect(imports.some(({ to }) => to === 'pipeline/index.ts')).toBe(true);
    expect(imports.some(({ to }) => to.startsWith('@tensorflow/'))).toBe(true);
  });

  it('pipeline/ knows neither src/ nor TensorFlow', () => {
    expect(
      violations(
        ({ from, to }) =>
          from.startsWith('pipeline/') && (to.startsWith('src/') || to.startsWith('@tensorflow/')),
      ),
    ).toEqual([]);
  });

  it('src/ reaches the pipeline through its index alone', () => {
    expect(
      violations(
        ({ from, to }) => from.startsWith('src/') && to.startsWith('pipeline/') && to !== 'pipeline/index.ts',
      ),
    ).toEqual([]);
  });

  it('no code imports tests', () => {
    expect(violations(({ to }) => to.startsWith('test/') || to.startsWith('..'))).toEqual([]);
  });

  it('only commands import commands', () => {
    expect(violations(({ from, to }) => !from.startsWith('src/cli/') && to.startsWith('src/cli/'))).toEqual(
      [],
    );
  });

  it('the step knows no streams', () => {
    expect(violations(({ from, to }) => isStepCode(from) && to.startsWith('rxjs'))).toEqual([]);
  });

  it('the step draws no random numbers', () => {
    const drawing = /Math\.random|randomUniform|randomNormal|truncatedNormal|tf\.dropout\b/;
    expect(
      files.filter((file) => isStepCode(file) && drawing.test(readFileSync(join(ROOT, file), 'utf8'))),
    ).toEqual([]);
  });

  it('nothing draws from an unseeded generator, except where retries need jitter', () => {
    const unseeded = files.filter((file) => /Math\.random/.test(readFileSync(join(ROOT, file), 'utf8')));
    expect(unseeded.filter((file) => !file.startsWith('pipeline/sources/'))).toEqual([]);
  });
});

describe('files', () => {
  it('are named in kebab case', () => {
    expect(files.filter((file) => !/^(?:[a-z0-9-]+\/)*[a-z0-9-]+\.ts$/.test(file))).toEqual([]);
  });

  it('stay under 400 lines', () => {
    const lengths = files.map((file) => ({
      file,
      lines: readFileSync(join(ROOT, file), 'utf8').split('\n').length - 1,
    }));
    expect(lengths.filter(({ file, lines }) => lines > 400 && !file.includes('tables'))).toEqual([]);
  });
});
