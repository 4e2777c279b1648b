/**
 * Preparation end to end, from Parquet files on disk to Parquet shards on disk, against the original's steps with
 * Hugging Face's libraries on the same files in the same run.
 *
 *     npm run bench:prepare -- [--megabytes 200] [--rounds 3] [--wikipedia FILES] [--books FILES] [--no-peers]
 *
 * Without files a corpus of each shape is made up (bench/corpus.ts). Python with `datasets` and `transformers` is
 * looked for on the path and in TACO_PYTHON; without it only ours is measured. Times are of whole processes, start
 * included; memory is the peak of the process, or of all of a peer's together.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readManifest } from '../../pipeline/shards/manifest.ts';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';
import { tokenizerFilesOf } from '../../pipeline/text/tokenizer-files.ts';
import { type TestHub, startTestHub } from '../support/hub/server.ts';
import { findPython } from '../support/python.ts';
import { type CorpusShape, writeCorpus } from './corpus.ts';

interface Measured {
  readonly seconds: number;
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
  const watch = setInterval(() => {
    peakBytes = Math.max(peakBytes, memoryOf(child.pid!));
  }, 50);
  const status = await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  clearInterval(watch);
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed:\n${output}`);
  return { seconds: (performance.now() - startedAt) / 1000, peakBytes, output };
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** One row of the table: rates are of the median of the rounds. */
function report(name: string, runs: readonly Measured[], { textBytes, tokens }: Facts): number {
  const seconds = median(runs.map((run) => run.seconds));
  const peak = Math.max(...runs.map((run) => run.peakBytes));
  const rate = textBytes / 1e6 / seconds;
  console.log(
    `  ${name.padEnd(26)}${rate.toFixed(1).padStart(7)} MB/s ${(tokens / 1e6 / seconds).toFixed(2).padStart(7)} M tokens/s ${(peak / 1e6).toFixed(0).padStart(6)} MB  (${seconds.toFixed(2)} s)`,
  );
  return seconds;
}

interface Facts {
  readonly textBytes: number;
  readonly tokens: number;
}

const { values } = parseArgs({
  options: {
    megabytes: { type: 'string', default: '200' },
    rounds: { type: 'string', default: '3' },
    wikipedia: { type: 'string' },
    books: { type: 'string' },
    peers: { type: 'boolean', default: true },
  },
  allowNegative: true,
});
const rounds = Number(values.rounds);
const folder = mkdtempSync(join(tmpdir(), 'taco-bench-'));
const tokenizerFolder = join(folder, 'tokenizer');

async function ours(source: string, workers: number, env: NodeJS.ProcessEnv = {}): Promise<Measured> {
  const out = join(folder, 'out');
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
  const names = readdirSync(dirname(files))
    .filter((name) => name.endsWith('.parquet'))
    .sort();
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

async function benchShape(
  shape: CorpusShape,
  given: string | undefined,
  python: string | undefined,
): Promise<void> {
  const files =
    given ?? (await writeCorpus(join(folder, shape), shape, Number(values.megabytes) * 1e6)).files;
  const source = `file:${files}`;
  await ours(source, 2); // the files into the system's cache
  const facts = (await readManifest(join(folder, 'out')))!.totals;
  console.log(
    `${shape}: ${(facts.textBytes / 1e6).toFixed(0)} MB of text in ${facts.documents} rows, ${(facts.tokens / 1e6).toFixed(1)} M tokens`,
  );
  const one: Measured[] = [];
  const two: Measured[] = [];
  for (let round = 0; round < rounds; round += 1) {
    one.push(await ours(source, 1));
    two.push(await ours(source, 2));
  }
  const oneSeconds = report('ours, 1 worker', one, facts);
  const twoSeconds = report('ours, 2 workers', two, facts);
  const hub = await hubWith(files);
  try {
    report(
      'ours, 2, from a local Hub',
      [await ours('hub:bench/corpus', 2, { HF_ENDPOINT: hub.endpoint })],
      facts,
    );
  } finally {
    await hub.close();
  }
  console.log(`  2 workers are ${(oneSeconds / twoSeconds).toFixed(2)} times as fast as 1`);
  if (python !== undefined) {
    const script = fileURLToPath(new URL('./prepare.py', import.meta.url));
    const out = join(folder, 'theirs');
    const theirs = await measure(python, [script, files, tokenizerFolder, out, '2'], {
      HF_HUB_OFFLINE: '1',
      TOKENIZERS_PARALLELISM: 'false',
    });
    rmSync(out, { recursive: true, force: true });
    const seconds = report('Hugging Face, 2 processes', [theirs], facts);
    console.log(`  ours is ${(seconds / twoSeconds).toFixed(1)} times as fast`);
  }
  console.log(two.at(-1)!.output.slice(two.at(-1)!.output.indexOf('where the time went')));
}

try {
  const python = values.peers ? findPython(['datasets', 'transformers']) : undefined;
  mkdirSync(tokenizerFolder);
  for (const [name, content] of tokenizerFilesOf(builtinTokenizer())) {
    writeFileSync(join(tokenizerFolder, name), content);
  }
  await benchShape('wikipedia', values.wikipedia, python);
  await benchShape('books', values.books, python);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
