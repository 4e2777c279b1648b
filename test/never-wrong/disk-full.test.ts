import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PrepareConfig } from '../../pipeline/config.ts';
import { runCli } from '../support/commands.ts';
import { filesBelow, hashesBelow } from '../support/folders.ts';
import { canMount, mountDisk, mountNote } from '../support/mounted-disk.ts';
import { failureOf, mixedConfig, prepareToEnd, writeInputs } from '../support/preparations.ts';

let home = '';
let expected: Record<string, string> = {};
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'taco-disk-'));
  await writeInputs(home, 400);
  await prepareToEnd(configInto(join(home, 'whole')));
  expected = await hashesBelow(join(home, 'whole'));
  expect(Object.keys(expected).length).toBeGreaterThan(20);
});
afterAll(() => rm(home, { recursive: true, force: true }));

/** Shards of some kilobytes, and so many that the manifest grows beyond their size. */
function configInto(out: string): PrepareConfig {
  return mixedConfig(home, { rowsPerShard: 64, out });
}

/** What must not be there after a failure. */
async function leftIn(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  return names.filter((name) => /tmp|lock/.test(name));
}

describe('a disk that takes no more of a file', () => {
  /** One block less than the largest of these files has in the end; the first manifest takes more than one. */
  async function limitBefore(name: RegExp): Promise<number> {
    const files = await filesBelow(join(home, 'whole'));
    const sizes = [...files].filter(([path]) => name.test(path)).map(([, content]) => content.length);
    return Math.floor((Math.max(...sizes) - 1) / 512);
  }

  it.each([
    ['the first manifest', () => Promise.resolve(1), /cannot write .*manifest\.json/],
    ['the tokenizer', () => limitBefore(/tokenizer\.json/), /cannot write .*tokenizer\.json/],
    ['a shard', () => limitBefore(/parquet/), /cannot write .*(train|validation)\/\d+\.parquet/],
    ['a later manifest', () => limitBefore(/manifest/), /cannot write .*manifest\.json/],
  ] as const)(
    'within %s ends preparation in one line, and with more room it goes on to identical bytes',
    async (what, limit, message) => {
      const maxFileBlocks = await limit();
      const config = configInto(join(home, what.replaceAll(' ', '-')));
      const args = [
        ...config.sources.flatMap((source) => ['--source', source]),
        ...['--tokenizer', config.tokenizer, '--max-seq-len', String(config.maxSeqLen)],
        ...['--validation', String(config.validation), '--rows-per-shard', String(config.rowsPerShard)],
        ...['--workers', '1', '--out', config.out],
      ];
      const full = await runCli('prepare-data', args, { maxFileBlocks });
      expect(full.status).toBe(1);
      const errors = full.stderr.split('\n').filter((line) => /cannot|Error|^ +at /.test(line));
      expect(errors).toEqual([expect.stringMatching(message)]);
      expect(await leftIn(config.out)).toEqual([]);
      await prepareToEnd(config);
      expect(await hashesBelow(config.out)).toEqual(expected);
    },
  );
});

describe.skipIf(!canMount)(`a disk that is full${mountNote}`, () => {
  it('wherever the space ends, ends preparation in one line, and with more room it goes on to identical bytes', async () => {
    const disk = mountDisk(join(home, 'disk'), 4);
    const places = new Set<string>();
    for (let kilobytes = 4; kilobytes <= 160; kilobytes += kilobytes < 48 ? 4 : 16) {
      const config = configInto(join(disk.folder, `out-${kilobytes}`));
      disk.resize(kilobytes);
      const error = await failureOf(prepareToEnd(config));
      expect(error.code).toBe('disk');
      expect(error.message).toMatch(
        /^cannot .*: no space left on the device; free some and run the same command again, it continues where it stopped$/,
      );
      places.add(
        /manifest|tokenizer|vocab|train|validation|lock/.exec(error.message.slice(config.out.length))?.[0] ??
          '',
      );
      expect(await leftIn(config.out)).toEqual([]);
      disk.resize(4096);
      await prepareToEnd(config);
      expect(await hashesBelow(config.out)).toEqual(expected);
      await rm(config.out, { recursive: true });
    }
    expect([...places]).toEqual(expect.arrayContaining(['manifest', 'tokenizer', 'train', 'validation']));
  });

  it('again and again, with a little more room each time, ends with identical bytes', async () => {
    const disk = mountDisk(join(home, 'growing'), 8);
    const config = configInto(join(disk.folder, 'out'));
    let failures = 0;
    for (let kilobytes = 8; ; kilobytes += 24) {
      disk.resize(kilobytes);
      const isDone = await prepareToEnd(config).then(
        () => true,
        () => false,
      );
      if (isDone) break;
      failures += 1;
    }
    expect(failures).toBeGreaterThan(5);
    expect(await hashesBelow(config.out)).toEqual(expected);
  });
});
