import { openBackend } from '../../../src/engine/index.ts';
import { TrainingSession } from '../../../src/train/session.ts';
import { serve } from './contender.ts';
import { WORKLOAD } from './workload.ts';

await openBackend('wasm');
const session = new TrainingSession(WORKLOAD);
let step = 0;
await serve((batch) => {
  const { loss } = session.trainStep([batch], { learningRate: WORKLOAD.learningRate, step });
  step += 1;
  return loss;
});
