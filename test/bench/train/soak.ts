import { RunningContender } from './contender.ts';
import { megabytes } from './demands.ts';
import { soakTask } from './groups.ts';

const SETTLED_STEPS = 500;
const LAST_STEP = 2000;
/** What allocators keep moves by as much. */
const ALLOWED_BYTES = 32e6;

/** Whether a process that makes thousands of steps takes no more memory at their end than early on. */
export async function soak(): Promise<boolean> {
  const running = new RunningContender(soakTask, {
    original: undefined,
    'tuned PyTorch': undefined,
    'tf.function': undefined,
    'tf.function, XLA': undefined,
  });
  try {
    await running.ready();
    let settled = 0;
    for (let step = 1; ; step += 1) {
      const { rssBytes = 0, loss } = await running.step();
      if (step === SETTLED_STEPS) settled = rssBytes;
      if (step % SETTLED_STEPS === 0) {
        console.log(`  step ${String(step).padStart(4)}: ${megabytes(rssBytes)}, loss ${loss.toFixed(2)}`);
      }
      if (step < LAST_STEP) continue;
      const isFlat = rssBytes - settled <= ALLOWED_BYTES;
      console.log(
        `  ${isFlat ? 'pass' : 'FAIL'}  memory is flat from step ${SETTLED_STEPS} to ${LAST_STEP}: ${megabytes(rssBytes - settled)} more`,
      );
      return isFlat;
    }
  } finally {
    running.kill();
  }
}
