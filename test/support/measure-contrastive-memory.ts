/**
 * Prints by how many bytes the peak of this process's memory grows over one contrastive loss and its gradient at
 * B = 16, L = 128, K = 50, H = 512. A process of its own, because a peak is never forgotten.
 * Usage: tsx measure-contrastive-memory.ts <wasm|tensorflow>
 */
import * as tf from '@tensorflow/tfjs-core';
import { openBackend } from '../../src/engine/backend.ts';
import { tokenContrastiveLoss } from '../../src/objectives/taco.ts';

await openBackend(process.argv[2] === 'tensorflow' ? 'tensorflow' : 'wasm');

function run(numTokens: number, width: number, numNegatives: number): () => void {
  const scattered = (length: number, stride: number): Int32Array =>
    Int32Array.from({ length }, (_, index) => (index * stride) % numTokens);
  const values = (phase: number): tf.Tensor2D =>
    tf.tensor2d(
      Float32Array.from({ length: numTokens * width }, (_, index) => Math.sin(index * 1.7 + phase)),
      [numTokens, width],
    );
  const inputs = [values(0), values(1)];
  const pairs = {
    anchors_A: tf.tensor1d(scattered(numTokens, 1), 'int32'),
    positives_A: tf.tensor1d(scattered(numTokens, 3), 'int32'),
    negatives_AK: tf.tensor2d(scattered(numTokens * numNegatives, 7), [numTokens, numNegatives], 'int32'),
    weights_A: tf.fill<tf.Rank.R1>([numTokens], 1 / numTokens),
  };
  return () => {
    tf.tidy(() => {
      const { value, grads } = tf.valueAndGrads(
        (...tensors: tf.Tensor[]) =>
          tokenContrastiveLoss(tensors[0] as tf.Tensor2D, tensors[1] as tf.Tensor2D, pairs, {
            temperature: 0.07,
          }).loss,
      )(inputs);
      for (const tensor of [value, ...grads]) tensor.dataSync();
    });
  };
}

const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;

run(64, 32, 3)();
const measured = run(16 * 128, 512, 50);
const before = peakBytes();
measured();
process.stdout.write(`${JSON.stringify({ extraBytes: peakBytes() - before })}\n`);
