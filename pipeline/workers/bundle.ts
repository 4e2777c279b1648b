import { messageOf } from '../errors.ts';

/** The programs that were asked for, by the path of their module. */
const programs = new Map<string, Promise<string>>();

/** Settles when no bundling is under way. */
let idle: Promise<unknown> = Promise.resolve();

/**
 * A TypeScript module with all that it imports as one script of CommonJS with a source map, made once. Never rejects: a
 * program that cannot be made says so when it is run.
 */
export function bundleOf(path: string): Promise<string> {
  let program = programs.get(path);
  if (program === undefined) {
    program = idle
      .then(() => bundle(path))
      // Ctrl-C ends esbuild with all other processes of the terminal, while this one goes on to a safe place.
      .catch(() => bundle(path))
      .catch((error: unknown) => `throw new Error(${JSON.stringify(messageOf(error))});`);
    programs.set(path, program);
    idle = program;
  }
  return program;
}

async function bundle(path: string): Promise<string> {
  const { build, stop } = await import('esbuild');
  try {
    const { outputFiles } = await build({
      entryPoints: [path],
      bundle: true,
      write: false,
      outfile: `${path}.cjs`,
      platform: 'node',
      target: 'node20',
      format: 'cjs',
      sourcemap: 'inline',
      sourcesContent: false,
      logLevel: 'silent',
    });
    return outputFiles[0]!.text;
  } finally {
    // It would stay until this process ends, with some 50 MB.
    await stop();
  }
}
