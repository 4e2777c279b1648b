import { createTokenizer, TacoError } from '../../pipeline/index.ts';
import { choosePrecision, openBackend } from '../engine/index.ts';
import { readCheckpointTensors } from './checkpoint.ts';
import { type Candidate, fillMask } from './fill-mask.ts';
import { type RunPlan, sessionOptionsOf } from './plan.ts';
import { findCheckpoint } from './run-folder.ts';
import { TrainingSession } from './session.ts';

/** The model of a run's newest checkpoint, ready to predict. */
export interface TrainedModel {
  /** Folder of the checkpoint. */
  readonly checkpoint: string;
  /** See `fillMask`. */
  fill(sentence: string, count?: number): readonly (readonly Candidate[])[];
  dispose(): void;
}

/**
 * Reads a run's newest whole checkpoint back.
 * @throws TacoError `not-found` when the run has none
 */
export async function openTrainedModel(plan: RunPlan): Promise<TrainedModel> {
  const { backend: choice, precision } = plan.config;
  const backend = await openBackend(choice);
  const { checkpoint } = await findCheckpoint(plan.config.out);
  if (checkpoint === undefined) {
    throw new TacoError(`${plan.config.out} has no checkpoint; train first`, {
      code: 'not-found',
      stage: 'train',
      path: plan.config.out,
    });
  }
  const session = new TrainingSession(sessionOptionsOf(plan, choosePrecision(precision, backend)));
  session.importState(await readCheckpointTensors(checkpoint.path), { optimizer: 'restore' });
  const { maxPositions } = plan.model;
  const { specialTokenIds, vocabulary } = plan.tokenizer;
  const encoder = createTokenizer(plan.tokenizer);
  const tokenizer = { encode: (text: string) => encoder.encode(text), specialTokenIds, vocabulary };
  return {
    checkpoint: checkpoint.path,
    fill: (sentence, count) => fillMask({ session, tokenizer, maxPositions }, sentence, count),
    dispose: () => {
      session.dispose();
    },
  };
}
