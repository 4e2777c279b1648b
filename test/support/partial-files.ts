import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseManifest } from '../../pipeline/shards/manifest.ts';

export interface PartialFileWatch {
  /** Ends the watch. @returns what was wrong, and how many states of files were looked at */
  stop(): Promise<{ readonly faults: readonly string[]; readonly looks: number }>;
}

/**
 * Looks at every file of a dataset's folder under its final name as soon as it appears or changes, as fast as
 * the machine can: a shard must be the one that the finished dataset has, byte for byte, a manifest must be whole,
 * and every shard that it names must be there.
 * @param expected SHA-256 of each file of the finished dataset
 */
export function watchForPartialFiles(
  folder: string,
  expected: Readonly<Record<string, string>>,
): PartialFileWatch {
  const faults: string[] = [];
  /** Path → the state that was looked at. */
  const seen = new Map<string, string>();
  let looks = 0;
  let isOver = false;

  const look = async (name: string): Promise<void> => {
    const path = join(folder, name);
    const status = await stat(path).catch(() => undefined);
    if (status === undefined) return;
    const state = `${status.ino} ${status.mtimeMs} ${status.size}`;
    if (seen.get(name) === state) return;
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes === undefined) return;
    seen.set(name, state);
    looks += 1;
    if (name === 'manifest.json') await checkManifest(bytes.toString());
    else if (createHash('sha256').update(bytes).digest('hex') !== expected[name]) {
      faults.push(`${name} of ${bytes.length} bytes is not the shard of the finished dataset`);
    }
  };

  const checkManifest = async (text: string): Promise<void> => {
    try {
      for (const { file } of parseManifest(text, 'manifest.json').shards) await stat(join(folder, file));
    } catch (error) {
      faults.push(`a manifest of ${text.length} bytes: ${String(error)}`);
    }
  };

  const watching = (async () => {
    while (!isOver) {
      await look('manifest.json');
      for (const split of ['train', 'validation']) {
        const names = await readdir(join(folder, split)).catch((): string[] => []);
        const shards = names.filter((name) => name.endsWith('.parquet') && !name.startsWith('.'));
        for (const name of shards) await look(`${split}/${name}`);
      }
      await nextTurn();
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await watching;
      return { faults, looks };
    },
  };
}
