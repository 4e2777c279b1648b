/**
 * How fast a model trains: this project's step against the original's in PyTorch, PyTorch as fast as it gets, and
 * TensorFlow from Python, all in one run.
 *
 *     npm run bench:train -- [--steps 10] [--only mlm-f32 --only taco] [--cpu-time] [--no-peers]
 *     npm run bench:train -- --quick
 *     npm run bench:train -- --soak
 *
 * Each contender is a process of its own on all processors. Those of a group are alive at once and make one step each
 * in turns, so that whatever else the machine does hits all of them; figures are medians. Python with torch,
 * transformers and tensorflow is looked for on the path and in TACO_PYTHON; torch.compile needs a C++ compiler. `--only`
 * takes mlm-f32, mlm-bf16, taco, taco-large (32 × 256) and base (BERT-base, 8 × 128). `--cpu-time` gives each contender
 * one thread and compares processor time, which hardly depends on what else the machine does. `--quick` is a smoke test.
 * `--soak` makes 2,000 steps and looks at memory alone. A demand that is not met makes the exit code 1.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { choiceFlag, wholeFlag } from '../../src/cli/command.ts';
import { findPython } from '../support/python.ts';
import { scriptArguments } from '../support/script.ts';
import type { Pythons } from './train/contender.ts';
import { verdictsOf } from './train/demands.ts';
import { groups, quickGroup } from './train/groups.ts';
import { matrixPeaks } from './train/matrix-peak.ts';
import { measureGroup, type Results, resultsOf } from './train/measure.ts';
import { soak } from './train/soak.ts';
import { markdownTable, resultLines } from './train/tables.ts';

const QUICK_ROUNDS = 3;
/** Load from which figures are worth little. */
const BUSY_LOAD = 0.5;
const GROUP_NAMES = groups.map(({ name }) => name);

const { flags } = scriptArguments({
  usage: 'npm run bench:train --',
  summary: 'How fast a model trains, against the original, tuned PyTorch and TensorFlow from Python.',
  flags: {
    steps: { type: 'number', help: 'of each contender (default: 10)' },
    only: {
      type: 'string',
      multiple: true,
      placeholder: GROUP_NAMES.join('|'),
      help: 'what to compare (default: all)',
    },
    'cpu-time': { type: 'boolean', help: 'one thread each; processor time, which other work hardly changes' },
    quick: { type: 'boolean', help: 'a smoke test' },
    soak: { type: 'boolean', help: '2,000 steps of ours; memory alone' },
    peers: { type: 'boolean', help: 'the others too, where Python has them (default; --no-peers: not)' },
  },
});
const numSteps = wholeFlag('steps', flags.steps ?? 10, 1);
const only = (flags.only ?? GROUP_NAMES).map((name) => choiceFlag('only', name, GROUP_NAMES));
const isQuick = flags.quick === true;

const cpuTime = flags['cpu-time'] === true;

function describeMachine(): void {
  if (cpuTime) {
    console.log(`${cpus()[0]?.model ?? 'unknown processor'}, processor time of one thread`);
    return;
  }
  const load = loadavg()[0]!;
  console.log(`${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} threads`);
  if (load > BUSY_LOAD) {
    console.warn(
      `the machine is busy (load ${load.toFixed(1)}): figures are rough, and PyTorch's threads, which wait for each other, suffer most; see --cpu-time`,
    );
  }
}

function findPythons(): Pythons {
  const hasPeers = flags.peers !== false;
  const torch = hasPeers ? findPython(['torch', 'transformers']) : undefined;
  const tensorflow = hasPeers && !isQuick ? findPython(['tensorflow']) : undefined;
  return {
    original: torch,
    'tuned PyTorch': torch,
    'tf.function': tensorflow,
    'tf.function, XLA': tensorflow,
  };
}

async function compare(): Promise<boolean> {
  const wanted = isQuick ? [quickGroup] : groups.filter(({ name }) => only.includes(name));
  const steps = isQuick ? QUICK_ROUNDS : numSteps;
  const pythons = findPythons();
  const peaks = matrixPeaks(cpuTime);
  const rates = Object.entries(peaks).map(([precision, peak]) => `${precision} ${(peak / 1e9).toFixed(0)}`);
  console.log(`matrix products, GFLOP/s: ${rates.join(', ')}`);

  let allMet = true;
  const ofSmall: Results[] = [];
  const versions = new Set<string>();
  for (const group of wanted) {
    const numRounds = Math.max(3, Math.round(steps * group.share));
    console.log(`\n${group.name}: ${group.title}, ${numRounds} steps each`);
    const measured = await measureGroup(group, { numRounds, pythons, cpuTime });
    const results = resultsOf(measured);
    for (const line of resultLines(measured, peaks)) console.log(line);
    const verdicts = verdictsOf(group.name, results);
    for (const line of verdicts.lines) console.log(line);
    allMet &&= verdicts.allMet;
    for (const result of measured) versions.add(`${result.how}: ${result.version}`);
    if (group.isMain) ofSmall.push(results);
  }
  console.log(`\n${[...versions].join('\n')}\n\n${markdownTable(ofSmall)}`);
  return allMet;
}

describeMachine();
const isGood = flags.soak === true ? await soak() : await compare();
process.exitCode = isGood ? 0 : 1;
