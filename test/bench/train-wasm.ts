/**
 * Training on WebAssembly: our step against the same step written the usual way with tfjs (train-wasm/naive.ts), and against
 * jax-js where it is installed. BERT-tiny, TACO with K = 50, 16 × 64 tokens, dropout, clipping, AdamW.
 *
 *     npx tsx test/bench/train-wasm.ts [--steps 10]
 *     (cd FOLDER && npm install @jax-js/jax) && TACO_JAX_JS=FOLDER npx tsx test/bench/train-wasm.ts
 *
 * Each contender is a process of its own; they step in turn on the same batches, so that whatever else the machine does
 * strikes all of them. Ratios are medians over the rounds. Exits with 1 when ours is less than four times as fast as tfjs,
 * or when the losses, which differ by their dropout, are far apart.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { wholeFlag } from '../../src/cli/command.ts';
import { scriptArguments } from '../support/script.ts';
import { type Answer, STEP } from './train-wasm/contender.ts';
import { WORKLOAD } from './train-wasm/workload.ts';

const WARM_UP_STEPS = 3;
const EXPECTED_RATIO = 4;
const LOSS_TOLERANCE = 0.25;

const { flags } = scriptArguments({
  usage: 'npm run bench:train-wasm --',
  summary:
    'Training on WebAssembly: our step against the same step in tfjs and, where it is installed, jax-js.',
  flags: { steps: { type: 'number', help: 'of each, in turn (default: 10)' } },
});
const numSteps = wholeFlag('steps', flags.steps ?? 10, 1);

interface Contender {
  readonly name: string;
  readonly process: ChildProcess;
  readonly lines: AsyncIterator<string>;
  readonly answers: Answer[];
}

function start(name: string, file: string): Contender {
  const path = join(import.meta.dirname, 'train-wasm', file);
  const child = spawn(process.execPath, ['--import', 'tsx', path], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { name, process: child, lines, answers: [] };
}

async function makeStep({ name, process: child, lines, answers }: Contender): Promise<Answer> {
  child.stdin!.write(`${STEP}\n`);
  const line = await lines.next();
  if (line.done === true) throw new Error(`${name} ended`);
  const answer = JSON.parse(line.value) as Answer;
  answers.push(answer);
  return answer;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

const ours = start('this project', 'ours.ts');
const tfjs = start('tfjs', 'naive.ts');
const contenders = [ours, tfjs];
if (process.env.TACO_JAX_JS === undefined) {
  console.log('jax-js is LEFT OUT: TACO_JAX_JS names no folder in which @jax-js/jax is installed');
} else contenders.push(start('jax-js', 'jax-js.ts'));

try {
  for (let round = 0; round < WARM_UP_STEPS + numSteps; round += 1) {
    for (const contender of contenders) await makeStep(contender);
  }
} finally {
  for (const { process: child } of contenders) {
    child.stdin!.end();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
}

const { batchSize, maxSeqLen } = WORKLOAD;
const measured = ({ answers }: Contender) => answers.slice(WARM_UP_STEPS);
console.log(`BERT-tiny, TACO, ${batchSize} × ${maxSeqLen} tokens, ${numSteps} steps in turn`);
console.log('                    step      tokens/s   this project is   first step   loss at the end');
let isPassed = true;
for (const contender of contenders) {
  const times = measured(contender).map(({ stepMs }) => stepMs);
  const ratio = median(times.map((ms, round) => ms / measured(ours)[round]!.stepMs));
  const stepMs = median(times);
  const last = contender.answers.at(-1)!.loss;
  const isClose = Math.abs(last - ours.answers.at(-1)!.loss) < LOSS_TOLERANCE;
  isPassed &&= isClose && (contender !== tfjs || ratio >= EXPECTED_RATIO);
  console.log(
    [
      contender.name.padEnd(14),
      `${stepMs.toFixed(0)} ms`.padStart(10),
      ((1000 * batchSize * maxSeqLen) / stepMs).toFixed(0).padStart(13),
      (contender === ours ? '' : `${ratio.toFixed(1)} × as fast`).padStart(18),
      `${contender.answers[0]!.stepMs.toFixed(0)} ms`.padStart(13),
      `${last.toFixed(3)}${isClose ? '' : ' FAR FROM OURS'}`.padStart(18),
    ].join(''),
  );
}
console.log(`${EXPECTED_RATIO} times as fast as tfjs: ${isPassed ? 'passed' : 'FAILED'}`);
process.exitCode = isPassed ? 0 : 1;
