/**
 * Kills prepare-data at random moments, again and again, and compares what comes out with an uninterrupted run:
 * `npm run stress:kill -- --rounds 50 --seed 7`.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { wholeFlag } from '../../src/cli/command.ts';
import { killReference, killRound } from '../support/kill-rounds.ts';
import { scriptArguments } from '../support/script.ts';

const { flags } = scriptArguments({
  usage: 'npm run stress:kill --',
  summary: 'Kills prepare-data at random moments and compares what comes out with an uninterrupted run.',
  flags: {
    rounds: { type: 'number', help: 'preparations, each killed again and again (default: 50)' },
    seed: { type: 'number', help: 'decides the moments (default: 7)' },
  },
});
const rounds = wholeFlag('rounds', flags.rounds ?? 50, 1);
const seed = wholeFlag('seed', flags.seed ?? 7, 0);

const home = await mkdtemp(join(tmpdir(), 'taco-kill-'));
const totals = { starts: 0, kills: 0, killsAtStart: 0, killsInFile: 0, killsInCommit: 0, looks: 0 };
let numFaults = 0;
try {
  const reference = await killReference(home);
  const files = Object.keys(reference.expected).length;
  console.log(`an uninterrupted run takes ${Math.round(reference.durationMs)} ms and leaves ${files} files`);
  for (let round = 0; round < rounds; round += 1) {
    const result = await killRound(reference, { seed, round });
    for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += result[name];
    numFaults += result.faults.length;
    console.log(
      `round ${round}: ${result.kills} kills in ${result.starts} starts, ${verdict(result.faults)}`,
    );
    await rm(join(home, `killed-${round}`), { recursive: true, force: true });
  }
} finally {
  await rm(home, { recursive: true, force: true });
}
console.log(
  `${rounds} rounds, seed ${seed}: ${totals.kills} kills in ${totals.starts} starts ` +
    `(${totals.killsAtStart} before the first shard, ${totals.killsInFile} within a file, ` +
    `${totals.killsInCommit} between a shard and its manifest); ${totals.looks} files watched; ${numFaults} faults`,
);
process.exitCode = numFaults === 0 ? 0 : 1;

function verdict(faults: readonly string[]): string {
  return faults.length === 0 ? 'byte-identical' : `FAULTS:\n  ${faults.join('\n  ')}`;
}
