import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** File in the folder of a build; written last, so a folder without it is not a build. */
export const recordFileName = 'build.json';

const recordSchema = z.strictObject({
  schemaVersion: z.literal(1),
  /** Of libtensorflow: `2.21.0`. */
  tensorflowVersion: z.string(),
  /** Whether the library was built for NVIDIA GPUs; it runs on the CPU where there is none. */
  gpu: z.boolean(),
  platform: z.string(),
  arch: z.string(),
  /** npm package whose binding and kernels drive the library, and its version. */
  packageName: z.string(),
  packageVersion: z.string(),
  /** Where the library came from, for people: a wheel's name, a folder, an address. */
  origin: z.string(),
  /** The compiled N-API module, relative to the folder. */
  bindingFile: z.string(),
});

/** What `npm run setup:tensorflow` made. */
export type BuildRecord = z.infer<typeof recordSchema>;

export interface Build {
  readonly folder: string;
  readonly record: BuildRecord;
}

/** All builds of this platform below a folder, best first: GPU before CPU, then newer before older. */
export function listBuilds(folder: string): readonly Build[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => !name.startsWith('.'))
    .map((name) => join(folder, name))
    .flatMap((candidate) => {
      const record = readRecord(candidate);
      return record === undefined ? [] : [{ folder: candidate, record }];
    })
    .filter(({ record }) => record.platform === process.platform && record.arch === process.arch)
    .sort(
      (a, b) =>
        Number(b.record.gpu) - Number(a.record.gpu) ||
        b.record.tensorflowVersion.localeCompare(a.record.tensorflowVersion, 'en', { numeric: true }),
    );
}

export function latestBuild(folder: string): Build | undefined {
  return listBuilds(folder)[0];
}

/** The record of one build, or undefined where there is none that this version of the code understands. */
export function readRecord(folder: string): BuildRecord | undefined {
  const file = join(folder, recordFileName);
  if (!existsSync(file)) return undefined;
  try {
    const parsed = recordSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}
