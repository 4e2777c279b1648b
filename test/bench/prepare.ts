/**
 * Preparation end to end, from Parquet files on disk to Parquet shards on disk, against the original's steps with
 * Hugging Face's libraries on the same files in the same run.
 *
 *     npm run bench:prepare -- [--megabytes 200] [--copies 5] [--rounds 3] [--wikipedia FILES] [--books FILES] [--no-peers]
 *
 * Without files a corpus of each shape is made up (bench/corpus.ts); its files are there several times over, so that
 * neither making it nor the start of a process is most of what is measured. Python with `datasets` and `transformers`
 * is looked for on the path and in TACO_PYTHON; without it only ours is measured. Times are of whole processes, start
 * included; the steady rate is that of what the copies add to the corpus alone. A factor is the median of those of the
 * rounds, whose runs are one behind the other: the speed of a machine that others use too changes within minutes. What
 * two processors can give at all is told by two runs of one worker at the same time, which share nothing. The peer is
 * measured on the corpus alone and on half of it, to see that its rate does not grow with the size, and compared by the
 * better of the two.
 * Memory is the peak of the process, or of all of a peer's together; processor time tells on a busy machine what the
 * clock does not.
 */
import { spawn } from 'node:child_process';
import { linkSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readManifest } from '../../pipeline/shards/manifest.ts';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';
import { tokenizerFilesOf } from '../../pipeline/text/tokenizer-files.ts';
import { usageError, wholeFlag } from '../../src/cli/command.ts';
import { startTestHub, type TestHub } from '../support/hub/server.ts';
import { findPython } from '../support/python.ts';
import { scriptArguments } from '../support/script.ts';
import { type CorpusShape, writeCorpus } from './corpus.ts';

interface Measured {
  readonly seconds: number;
  /** Of all threads and of children that have ended. */
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  readonly output: string;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Peak of a process so far, or of what its children add now; 0 where the system does not tell. */
function memoryOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const own = 1024 * Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0);
    const children = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
    );
    return children.reduce((sum, child) => sum + memoryOf(child), own);
  } catch {
    return 0;
  }
}

/** Clock ticks are hundredths of a second on Linux. */
function cpuSecondsOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
  } catch {
    return 0;
  }
}

async function measure(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<Measured> {
  const startedAt = performance.now();
  const child = spawn(program, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  let peakBytes = 0;
  let cpuSeconds = 0;
  const watch = setInterval(() => {
    cpuSeconds = Math.max(cpuSeconds, cpuSecondsOf(child.pid!));
    peakBytes = Math.max(peakBytes, memoryOf(child.pid!));
  }, 50);
  const status = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  clearInterval(watch);
  if (status !== 0) {
    const mistake = /^error: (.*)$/m.exec(output)?.[1];
    if (mistake !== undefined) throw usageError(mistake);
    throw new Error(`${program} ${args.join(' ')} failed:\n${output}`);
  }
  return { seconds: (performance.now() - startedAt) / 1000, cpuSeconds, peakBytes, output };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** One row of the table: rates are of the median of the rounds. */
function report(name: string, runs: readonly Measured[], { textBytes, tokens }: Facts): number {
  const seconds = median(runs.map((run) => run.seconds));
  const cpu = median(runs.map((run) => run.cpuSeconds));
  const peak = Math.max(...runs.map((run) => run.peakBytes));
  const rate = textBytes / 1e6 / seconds;
  console.log(
    `  ${name.padEnd(34)}${rate.toFixed(1).padStart(7)} MB/s ${(tokens / 1e6 / seconds).toFixed(2).padStart(7)} M tokens/s ${(peak / 1e6).toFixed(0).padStart(6)} MB  (${seconds.toFixed(2)} s, processor ${cpu.toFixed(2)} s, ${(cpu / seconds).toFixed(2)} busy)`,
  );
  return seconds;
}

interface Facts {
  readonly textBytes: number;
  readonly tokens: number;
}

const { flags } = scriptArguments({
  usage: 'npm run bench:prepare --',
  summary: "Preparation from Parquet to Parquet, against the original's steps with Hugging Face's libraries.",
  flags: {
    megabytes: { type: 'number', help: 'of text, in each shape that is made up (default: 200)' },
    copies: { type: 'number', help: 'times that the files are there (default: 5)' },
    rounds: { type: 'number', help: 'of one worker, then two (default: 3)' },
    wikipedia: { type: 'string', placeholder: 'files', help: 'Parquet files of articles (default: made up)' },
    books: { type: 'string', placeholder: 'files', help: 'Parquet files of sentences (default: made up)' },
    peers: {
      type: 'boolean',
      help: 'Hugging Face too, where its Python packages are there (default; --no-peers: not)',
    },
  },
});
const megabytes = wholeFlag('megabytes', flags.megabytes ?? 200, 1);
const numCopies = wholeFlag('copies', flags.copies ?? 5, 1);
const rounds = wholeFlag('rounds', flags.rounds ?? 3, 1);
const folder = mkdtempSync(join(tmpdir(), 'taco-bench-'));
const tokenizerFolder = join(folder, 'tokenizer');

interface OurRun {
  readonly source: string;
  readonly workers: number;
  readonly out?: string;
  readonly env?: NodeJS.ProcessEnv;
}

async function ours({ source, workers, out = join(folder, 'out'), env }: OurRun): Promise<Measured> {
  rmSync(out, { recursive: true, force: true });
  const args = ['--source', source, '--tokenizer', 'bert-base-uncased', '--max-seq-len', '256', '--out', out];
  const cli = [
    '--import',
    'tsx',
    'src/cli/prepare-data.ts',
    ...args,
    '--workers',
    String(workers),
    '--profile',
  ];
  return measure(process.execPath, cli, env);
}

/** The corpus as a repository of a Hub on this machine. */
async function hubWith(files: string): Promise<TestHub> {
  const names = filesOf(files);
  return startTestHub({
    repositories: [
      {
        type: 'dataset',
        name: 'bench/corpus',
        revisions: {
          main: Object.fromEntries(
            names.map((name) => [`data/${name}`, readFileSync(join(dirname(files), name))]),
          ),
        },
      },
    ],
  });
}

/** The same files several times over in another folder. @returns their pattern */
function copiesOf(files: string, name: string, count: number): string {
  const copies = join(folder, name);
  mkdirSync(copies);
  for (const file of filesOf(files)) {
    for (let copy = 0; copy < count; copy += 1) {
      linkSync(join(dirname(files), file), join(copies, `${String(copy)}-${file}`));
    }
  }
  return join(copies, '*.parquet');
}

function filesOf(files: string): readonly string[] {
  return readdirSync(dirname(files))
    .filter((name) => name.endsWith('.parquet'))
    .sort();
}

interface Turns {
  readonly one: readonly Measured[];
  readonly two: readonly Measured[];
  readonly facts: Facts;
}

/** Rounds of one worker and of two, in turns, so that both see the same machine. */
async function inTurns(source: string, after?: () => Promise<void>): Promise<Turns> {
  await ours({ source, workers: 2 }); // the files into the system's cache
  const facts = (await readManifest(join(folder, 'out')))!.totals;
  const one: Measured[] = [];
  const two: Measured[] = [];
  for (let round = 0; round < rounds; round += 1) {
    one.push(await ours({ source, workers: 1 }));
    two.push(await ours({ source, workers: 2 }));
    await after?.();
  }
  return { one, two, facts };
}

/** Two runs of one worker at the same time. @returns seconds until both have ended */
async function sideBySide(source: string): Promise<number> {
  const outs = ['left', 'right'].map((name) => join(folder, name));
  const runs = await Promise.all(outs.map((out) => ours({ source, workers: 1, out })));
  for (const out of outs) rmSync(out, { recursive: true, force: true });
  return Math.max(...runs.map(({ seconds }) => seconds));
}

function theirs(python: string, files: string): Promise<Measured> {
  const script = fileURLToPath(new URL('./prepare.py', import.meta.url));
  const out = join(folder, 'theirs');
  return measure(python, [script, files, tokenizerFolder, out, '2'], {
    HF_HUB_OFFLINE: '1',
    TOKENIZERS_PARALLELISM: 'false',
  }).finally(() => {
    rmSync(out, { recursive: true, force: true });
  });
}

async function benchShape(
  shape: CorpusShape,
  given: string | undefined,
  python: string | undefined,
): Promise<void> {
  const files = given ?? (await writeCorpus(join(folder, shape), shape, megabytes * 1e6)).files;
  const copies = given === undefined ? numCopies : 1;
  const many = copies > 1 ? copiesOf(files, `${shape}-copies`, copies) : files;
  const pairSeconds: number[] = [];
  const whole = await inTurns(`file:${many}`, async () => {
    pairSeconds.push(await sideBySide(`file:${many}`));
  });
  const { textBytes, tokens, documents } = (await readManifest(join(folder, 'out')))!.totals;
  console.log(
    `${shape}: ${(textBytes / 1e6).toFixed(0)} MB of text in ${documents} rows, ${(tokens / 1e6).toFixed(1)} M tokens; load of the machine ${loadavg()[0]!.toFixed(1)}`,
  );
  const oneSeconds = report('ours, 1 worker', whole.one, whole.facts);
  const twoSeconds = report('ours, 2 workers', whole.two, whole.facts);
  const reportFactors = (what: string, factors: readonly number[]): void => {
    const all = factors.map((factor) => factor.toFixed(2)).join(', ');
    console.log(`  ${what} ${median(factors).toFixed(2)} times as fast as 1 (by rounds: ${all})`);
  };
  reportFactors(
    '2 workers, start included, are',
    whole.one.map(({ seconds }, round) => seconds / whole.two[round]!.seconds),
  );
  reportFactors(
    '2 runs of 1 worker at the same time, which share nothing, are',
    whole.one.map(({ seconds }, round) => (2 * seconds) / pairSeconds[round]!),
  );
  let facts = whole.facts;
  if (copies > 1) {
    const single = await inTurns(`file:${files}`);
    facts = single.facts;
    const oneAdded = oneSeconds - report('ours, 1 worker, 1 copy', single.one, facts);
    const twoAdded = twoSeconds - report('ours, 2 workers, 1 copy', single.two, facts);
    const megabytes = (whole.facts.textBytes - facts.textBytes) / 1e6;
    console.log(
      `  steady, without the start: ${(megabytes / oneAdded).toFixed(1)} and ${(megabytes / twoAdded).toFixed(1)} MB/s, 2 workers ${(oneAdded / twoAdded).toFixed(2)} times as fast`,
    );
  }
  const hub = await hubWith(files);
  try {
    const fromHub = await ours({
      source: 'hub:bench/corpus',
      workers: 2,
      env: { HF_ENDPOINT: hub.endpoint },
    });
    report('ours, 2, from a local Hub, 1 copy', [fromHub], facts);
  } finally {
    await hub.close();
  }
  if (python !== undefined) {
    const half = copiesOf(files, `${shape}-half`, 1);
    const extra = filesOf(half).slice(Math.ceil(filesOf(half).length / 2));
    for (const name of extra) rmSync(join(dirname(half), name));
    await ours({ source: `file:${half}`, workers: 2 });
    const halfFacts = (await readManifest(join(folder, 'out')))!.totals;
    const onHalf = report('Hugging Face, 2 processes, half', [await theirs(python, half)], halfFacts);
    const onAll = report('Hugging Face, 2 processes, 1 copy', [await theirs(python, files)], facts);
    const rate = Math.max(halfFacts.textBytes / onHalf, facts.textBytes / onAll);
    console.log(`  ours is ${(whole.facts.textBytes / twoSeconds / rate).toFixed(1)} times as fast`);
  }
  const { output } = whole.two.at(-1)!;
  console.log(output.slice(output.indexOf('where the time went')));
}

try {
  const python = flags.peers !== false ? findPython(['datasets', 'transformers']) : undefined;
  mkdirSync(tokenizerFolder);
  for (const [name, content] of tokenizerFilesOf(builtinTokenizer())) {
    writeFileSync(join(tokenizerFolder, name), content);
  }
  await benchShape('wikipedia', flags.wikipedia, python);
  await benchShape('books', flags.books, python);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
