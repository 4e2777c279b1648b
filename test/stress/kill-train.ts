/**
 * Kills training at random moments, again and again, and compares what comes out with an uninterrupted run:
 * `npm run stress:kill-train -- --kills 25 --seed 7 --backend tensorflow --precision bf16`.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { choiceFlag, wholeFlag } from '../../src/cli/command.ts';
import { precisions } from '../../src/engine/precision.ts';
import { hasTensorFlow } from '../support/backends.ts';
import { scriptArguments } from '../support/script.ts';
import { killTraining } from '../support/train-kills.ts';

const backends = ['wasm', 'tensorflow'] as const;
const { flags } = scriptArguments({
  usage: 'npm run stress:kill-train --',
  summary: 'Kills training at random moments and compares what comes out with an uninterrupted run.',
  flags: {
    kills: { type: 'number', help: 'of one run (default: 25)' },
    seed: { type: 'number', help: 'decides the moments (default: 7)' },
    'max-steps': { type: 'number', help: 'updates of the run (default: 2000)' },
    backend: { type: 'string', placeholder: backends.join('|'), help: 'default: all that are there' },
    precision: {
      type: 'string',
      placeholder: precisions.join('|'),
      help: 'type of matrix products (default: f32)',
    },
  },
});
const kills = wholeFlag('kills', flags.kills ?? 25, 1);
const seed = wholeFlag('seed', flags.seed ?? 7, 0);
const maxSteps = wholeFlag('max-steps', flags['max-steps'] ?? 2000, 1);
const precision = choiceFlag('precision', flags.precision ?? 'f32', precisions);
const chosen =
  flags.backend === undefined
    ? backends.filter((name) => name === 'wasm' || hasTensorFlow)
    : [choiceFlag('backend', flags.backend, backends)];

for (const backend of chosen) {
  const home = await mkdtemp(join(tmpdir(), 'taco-kill-train-'));
  try {
    const { faults, ...counts } = await killTraining({
      home,
      backend,
      precision,
      kills,
      seed,
      maxSteps,
      report: (text) => {
        console.log(`${backend}: ${text}`);
      },
    });
    console.log(
      `${backend}, ${precision}, seed ${seed}: ${counts.kills} kills in ${counts.starts} starts ` +
        `(${counts.killsAtStart} before the first update, ${counts.killsInCheckpoint} within a checkpoint); ` +
        (faults.length === 0
          ? 'metrics, TensorBoard, weights and moments are those of the uninterrupted run, bit for bit'
          : `FAULTS:\n  ${faults.join('\n  ')}`),
    );
    if (faults.length > 0) process.exitCode = 1;
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}
