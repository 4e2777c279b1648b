import type * as tf from '@tensorflow/tfjs-core';
import type { GraphCall } from './graph-call.ts';
import type { InPlaceUpdate } from './in-place.ts';
import { TraceError } from './trace-error.ts';

const FLOAT = { type: 'float32' } as const;

/**
 * `{parameter, gradient, firstMoment, secondMoment, gradientScale, stepSize, epsilon, keep}`, `{beta1, beta2}` →
 * the three after the update: TensorFlow's ResourceApplyAdam, in one pass over memory and in place. With powers of β of
 * zero its step size and ε are those it is given, and ours hold the bias corrections.
 */
export function adamW(call: GraphCall): tf.TensorInfo[] {
  const { graph } = call;
  const names = ['parameter', 'firstMoment', 'secondMoment'] as const;
  const reads = names.map((name) => call.reference(call.input(name)));
  const handles = reads.map((read, i) => {
    const producer = graph.producerOf(read);
    if (producer?.op === 'ReadVariableOp') return producer.inputs[0]!;
    throw new TraceError('AdamWUpdate', `its ${names[i]!} is not a variable as it was before the step`);
  });
  const scalar = (name: string): string => call.reference(call.input(name));
  const [stepSize, epsilon, keep] = [scalar('stepSize'), scalar('epsilon'), scalar('keep')];
  const gradient = call.map('Mul', call.reference(call.input('gradient')), scalar('gradientScale'));
  const [beta1, beta2] = [graph.float(call.number('beta1')), graph.float(call.number('beta2'))];
  const [zero, one] = [graph.float(0), graph.float(1)];

  const emit = (after: readonly string[]): readonly string[] => {
    const waits = [...after, ...reads.map((read) => `^${read}`)];
    if (keep !== one) {
      const decayed = call.map('Mul', reads[0]!, keep);
      const assigned = graph.effect('AssignVariableOp', [handles[0]!, decayed, ...waits], { dtype: FLOAT });
      waits.push(`^${assigned}`);
    }
    const inputs = [...handles, zero, zero, stepSize, beta1, beta2, epsilon, gradient, ...waits];
    return [graph.effect('ResourceApplyAdam', inputs, { T: FLOAT })];
  };
  const update: InPlaceUpdate = { handles, emit };
  return names.map((name) => call.updated(call.input(name), update));
}
