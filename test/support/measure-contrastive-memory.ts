/**
 * Prints by how many bytes the peak of this process's memory grows over one contrastive loss and its gradient at
 * B = 16, L = 128, K = 50, H = 512. A process of its own, because a peak is never forgotten.
 * Usage: tsx measure-contrastive-memory.ts <wasm|tensorflow>
 */
import * as tf from '@tensorflow/tfjs-core';
import { createProgram, openBackend } from '../../src/engine/index.ts';
import { tokenContrastiveLoss } from '../../src/objectives/taco.ts';

await openBackend(process.argv[2] === 'tensorflow' ? 'tensorflow' : 'wasm');

function run(numTokens: number, width: number, numNegatives: number): () => void {
  const scattered = (length: number, stride: number): Int32Array =>
    Int32Array.from({ length }, (_, index) => (index * stride) % numTokens);
  const values = (phase: number): Float32Array =>
    Float32Array.from({ length: numTokens * width }, (_, index) => Math.sin(index * 1.7 + phase));
  const matrix = { dtype: 'float32', shape: [numTokens, width] } as const;
  const indices = { dtype: 'int32', shape: [numTokens] } as const;
  const program = createProgram();
  const step = program.compile(
    ({ feeds }) => {
      const pairs = {
        anchors_A: feeds.anchors as tf.Tensor1D,
        positives_A: feeds.positives as tf.Tensor1D,
        negatives_AK: feeds.negatives as tf.Tensor2D,
        weights_A: tf.fill<tf.Rank.R1>([numTokens], 1 / numTokens),
      };
      const { value, grads } = tf.valueAndGrads(
        (...tensors: tf.Tensor[]) =>
          tokenContrastiveLoss(tensors[0] as tf.Tensor2D, tensors[1] as tf.Tensor2D, pairs, {
            temperature: 0.07,
          }).loss,
      )([feeds.hidden, feeds.embedded]);
      return { loss: value, hiddenGradient: grads[0]!, embeddedGradient: grads[1]! };
    },
    {
      name: 'contrast',
      feeds: {
        hidden: matrix,
        embedded: matrix,
        anchors: indices,
        positives: indices,
        negatives: { dtype: 'int32', shape: [numTokens, numNegatives] },
      },
      updates: [],
    },
  );
  const given = {
    hidden: values(0),
    embedded: values(1),
    anchors: scattered(numTokens, 1),
    positives: scattered(numTokens, 3),
    negatives: scattered(numTokens * numNegatives, 7),
  };
  return () => {
    step(given);
  };
}

const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;

run(64, 32, 3)();
const measured = run(16 * 128, 512, 50);
const before = peakBytes();
measured();
process.stdout.write(`${JSON.stringify({ extraBytes: peakBytes() - before })}\n`);
