/**
 * Prepares a Parquet file of one huge row group and watches how much memory that takes:
 * `npm run stress:memory -- --megabytes 300 --limit 1000`. Python with pyarrow makes the file.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startCli } from '../support/commands.ts';
import { findPython } from '../support/python.ts';

const { values } = parseArgs({
  options: { megabytes: { type: 'string', default: '300' }, limit: { type: 'string', default: '1000' } },
});
const [megabytes, limitMegabytes] = [Number(values.megabytes), Number(values.limit)];

/** Different words in each row, so that neither a dictionary nor compression makes the file small. */
const MAKE_FILE = `
import sys, random, pyarrow as pa, pyarrow.parquet as pq
path, megabytes = sys.argv[1], int(sys.argv[2])
draw = random.Random(7)
words = [''.join(draw.choices('abcdefghijklmnopqrstuvwxyz', k=draw.randint(2, 9))) for _ in range(50000)]
rows = [' '.join(draw.choices(words, k=300)) for _ in range(megabytes * 540)]
pq.write_table(pa.table({'text': rows}), path, row_group_size=len(rows), use_dictionary=False)
`;

/** Largest resident size of a process so far, in MB; undefined when it is gone. */
async function peakMegabytes(pid: number): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
  return kilobytes === undefined ? undefined : Number(kilobytes) / 1000;
}

const python = findPython(['pyarrow']);
if (python === undefined) throw new Error('this script needs Python with pyarrow: TACO_PYTHON names one');
const folder = await mkdtemp(join(tmpdir(), 'taco-row-group-'));
try {
  const path = join(folder, 'huge.parquet');
  spawnSync(python, ['-c', MAKE_FILE, path, String(megabytes)], { stdio: 'inherit' });
  const { size } = await stat(path);
  console.log(`one row group of ${megabytes} MB text in a file of ${Math.round(size / 1e6)} MB`);
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
    `prepared in ${seconds} s with at most ${Math.round(peak)} MB of memory, limit ${limitMegabytes} MB`,
  );
  process.exitCode = peak < limitMegabytes ? 0 : 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}
