/**
 * Kills training at random moments, again and again, and compares what comes out with an uninterrupted run:
 * `npm run stress:kill-train -- --kills 25 --seed 7 --backend tensorflow --precision bf16`.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hasTensorFlow } from '../support/backends.ts';
import { killTraining } from '../support/train-kills.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '25' },
    seed: { type: 'string', default: '7' },
    'max-steps': { type: 'string', default: '2000' },
    backend: { type: 'string' },
    precision: { type: 'string', default: 'f32' },
  },
});
const backends = ['wasm', 'tensorflow'] as const;
const precisions = ['f32', 'bf16', 'fp16'] as const;
const precision = precisions.find((name) => name === values.precision);
if (precision === undefined) throw new Error(`--precision is one of ${precisions.join(', ')}`);
const chosen = backends.filter((name) =>
  values.backend === undefined ? name === 'wasm' || hasTensorFlow : name === values.backend,
);
if (chosen.length === 0) throw new Error(`--backend is one of ${backends.join(', ')}`);

for (const backend of chosen) {
  const home = await mkdtemp(join(tmpdir(), 'taco-kill-train-'));
  try {
    const { faults, ...counts } = await killTraining({
      home,
      backend,
      precision,
      kills: Number(values.kills),
      seed: Number(values.seed),
      maxSteps: Number(values['max-steps']),
      report: (text) => {
        console.log(`${backend}: ${text}`);
      },
    });
    console.log(
      `${backend}, ${precision}, seed ${values.seed}: ${counts.kills} kills in ${counts.starts} starts ` +
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
