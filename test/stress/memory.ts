/**
 * Prepares Parquet files that are hard on memory and watches how much they take:
 * `npm run stress:memory -- --megabytes 300 --limit 1000 --shape page`. Python with pyarrow makes the files.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { choiceFlag, wholeFlag } from '../../src/cli/command.ts';
import { startCli } from '../support/commands.ts';
import { requirePython } from '../support/python.ts';
import { scriptArguments } from '../support/script.ts';

/** Of each shape, Python that makes the rows, and how they are written. */
const SHAPES = {
  group: {
    what: 'one row group of small pages',
    rows: "[' '.join(draw.choices(words, k=300)) for _ in range(megabytes * 540)]",
    options: 'use_dictionary=False',
  },
  page: {
    what: 'one page of documents of 25 MB',
    rows: 'large(25)',
    options: 'use_dictionary=False',
  },
  limit: {
    what: 'one page of documents of 64 MiB, with as many tokens as Chinese has',
    rows: "[f'{i} ' + 'ab ' * (64 * 1024 * 1024 // 3 - 30) for i in range(max(1, megabytes // 67))]",
    options: 'use_dictionary=False',
  },
  checksum: {
    what: 'one page of version 2 with a checksum, Zstandard',
    rows: 'large(25)',
    options: "use_dictionary=False, data_page_version='2.0', write_page_checksum=True, compression='zstd'",
  },
  dictionary: {
    what: 'a dictionary of 250 MB',
    rows: 'large(25, 250)',
    options: 'use_dictionary=True',
  },
  whole: {
    what: 'a page of 100 MB that can only be decoded whole',
    rows: 'large(25, 100)',
    options: "use_dictionary=False, compression='lz4'",
  },
} as const;
type Shape = keyof typeof SHAPES;
const SHAPE_NAMES = Object.keys(SHAPES) as Shape[];

const { flags } = scriptArguments({
  usage: 'npm run stress:memory --',
  summary: 'Prepares Parquet files that are hard on memory and watches how much they take.',
  flags: {
    megabytes: { type: 'number', help: 'of a file (default: 300)' },
    limit: { type: 'number', help: 'of memory, in megabytes (default: 1000)' },
    shape: { type: 'string', multiple: true, placeholder: SHAPE_NAMES.join('|'), help: 'default: all' },
  },
});
const megabytes = wholeFlag('megabytes', flags.megabytes ?? 300, 1);
const limitMegabytes = wholeFlag('limit', flags.limit ?? 1000, 1);
const shapes = (flags.shape ?? SHAPE_NAMES).map((name) => SHAPES[choiceFlag('shape', name, SHAPE_NAMES)]);

/** Different words in each row, so that neither a dictionary nor compression makes the file small. */
const makeFile = ({ rows, options }: (typeof SHAPES)[Shape]): string => `
import sys, random, pyarrow as pa, pyarrow.parquet as pq
path, megabytes = sys.argv[1], int(sys.argv[2])
draw = random.Random(7)
words = [''.join(draw.choices('abcdefghijklmnopqrstuvwxyz', k=draw.randint(2, 9))) for _ in range(50000)]
def large(each, in_all=megabytes):
    text = ' '.join(draw.choices(words, k=each * 200000))[:each * 1000000 - 8]
    return [f'{i} ' + text for i in range(max(1, in_all // each))]
rows = ${rows}
pq.write_table(pa.table({'text': rows}), path, row_group_size=len(rows), ${options})
`;

/** Largest resident size of a process so far, in MB; undefined when it is gone. */
async function peakMegabytes(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) / 1000;
}

/** @returns the peak in MB */
async function prepare(python: string, folder: string, shape: (typeof SHAPES)[Shape]): Promise<number> {
  const path = join(folder, 'input.parquet');
  spawnSync(python, ['-c', makeFile(shape), path, String(megabytes)], { stdio: 'inherit' });
  const { size } = await stat(path);
  const args = ['--source', `file:${path}`, '--tokenizer', 'bert-base-uncased', '--out', join(folder, 'out')];
  const begun = performance.now();
  const { child, ended } = startCli('prepare-data', args);
  let peak = 0;
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      peak = Math.max(peak, (await peakMegabytes(child.pid!)) ?? 0);
      await delay(20);
    }
  })();
  const { status, stderr } = await ended;
  isOver = true;
  await watching;
  if (status !== 0) throw new Error(`prepare-data ended with ${String(status)}: ${stderr}`);
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  console.log(
    `${shape.what}, a file of ${Math.round(size / 1e6)} MB: ${seconds} s, ${Math.round(peak)} MB of memory`,
  );
  return peak;
}

const python = requirePython(['pyarrow']);
let peak = 0;
for (const shape of shapes) {
  const folder = await mkdtemp(join(tmpdir(), 'taco-memory-'));
  try {
    peak = Math.max(peak, await prepare(python, folder, shape));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
console.log(`at most ${Math.round(peak)} MB of memory, limit ${limitMegabytes} MB`);
process.exitCode = peak < limitMegabytes ? 0 : 1;
