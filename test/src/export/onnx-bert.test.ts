import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../../pipeline/random.ts';
import { openBackend } from '../../../src/engine/backend.ts';
import { onnxBert } from '../../../src/export/onnx-bert.ts';
import { InferenceSession } from '../../../src/inference/inference-session.ts';
import { MINUTE, randomTensors } from '../../support/models.ts';
import { readOnnx } from '../../support/onnx/read.ts';
import { runOnnx } from '../../support/onnx/run.ts';

const tensors = randomTensors();
const file = Buffer.concat(onnxBert(MINUTE, tensors, '1.2.3').pieces);

/** Rows of other lengths than the model's longest, the last one padded. */
function rowsOf(batchSize: number, maxSeqLen: number) {
  const random = new Random(batchSize, maxSeqLen);
  const inputIds = Int32Array.from({ length: batchSize * maxSeqLen }, () => random.below(MINUTE.vocabSize));
  const attentionMask = new Int32Array(inputIds.length).fill(1).fill(0, inputIds.length - 3);
  return { batchSize, maxSeqLen, inputIds, attentionMask };
}

type Rows = ReturnType<typeof rowsOf>;

beforeAll(async () => {
  await openBackend('wasm');
});

/** Ours at every token that is no padding: place and logits. */
function ourLogits(
  rows: Rows,
  parameters = tensors,
): { readonly places: readonly number[]; readonly logits: Float32Array } {
  const session = new InferenceSession(MINUTE, parameters);
  const places = [...rows.attentionMask.keys()].filter((at) => rows.attentionMask[at] === 1);
  const logits = session.predictMasked({ ...rows, positions: Int32Array.from(places) });
  session.dispose();
  return { places, logits };
}

function expectOurs(rows: Rows, theirs: ArrayLike<number>, parameters = tensors): void {
  const { vocabSize } = MINUTE;
  expect(theirs).toHaveLength(rows.inputIds.length * vocabSize);
  const { places, logits } = ourLogits(rows, parameters);
  let greatest = 0;
  let spread = 0;
  for (const [index, place] of places.entries()) {
    for (let word = 0; word < vocabSize; word += 1) {
      const expected = logits[index * vocabSize + word]!;
      const difference = Math.abs(theirs[place * vocabSize + word]! - expected);
      if (!(difference <= greatest)) greatest = difference;
      spread = Math.max(spread, Math.abs(expected));
    }
  }
  expect(spread).toBeGreaterThan(1);
  expect(greatest).toBeLessThan(1e-4);
}

describe('onnxBert', () => {
  it("has the inputs, output and versions of transformers' own exports", () => {
    const { irVersion, opset, inputs, outputs, nodes, constants } = readOnnx(file);
    expect([irVersion, opset]).toEqual([8, 17]);
    const shape = ['batch_size', 'sequence_length'];
    expect(inputs).toEqual(
      ['input_ids', 'attention_mask', 'token_type_ids'].map((name) => ({ name, type: 7, shape })),
    );
    expect(outputs).toEqual([{ name: 'logits', type: 1, shape: [...shape, 300] }]);
    const counts: Record<string, number> = {};
    for (const { operator } of nodes) counts[operator] = (counts[operator] ?? 0) + 1;
    expect(counts).toMatchObject({
      LayerNormalization: 2 + 2 * 2,
      Softmax: 2,
      Split: 2,
      Erf: 1 + 2,
      MatMul: 2 + 2 * 6,
      Gather: 2,
    });
    const outputNames = nodes.flatMap((node) => node.outputs);
    expect(new Set(outputNames).size).toBe(outputNames.length);
    // Each weight once: the output projection is the word embedding.
    const numWeights = [...tensors.values()].reduce((sum, { values }) => sum + values.length, 0);
    const numStored = [...constants.values()].reduce((sum, { values }) => sum + values.length, 0);
    expect(numStored - numWeights).toBeLessThan(20);
  });

  function interpret(rows: Rows, typeId: number): ArrayLike<number> {
    const { batchSize, maxSeqLen, inputIds } = rows;
    const shape = [batchSize, maxSeqLen];
    const input = (values: Int32Array) => ({ shape, values: Float64Array.from(values) });
    const logits = runOnnx(readOnnx(file), {
      input_ids: input(inputIds),
      attention_mask: input(rows.attentionMask),
      token_type_ids: input(new Int32Array(inputIds.length).fill(typeId)),
    }).get('logits')!;
    expect(logits.shape).toEqual([...shape, 300]);
    return logits.values;
  }

  it.each([
    [1, 5],
    [3, 9],
  ])('computes our logits for %i × %i tokens', (batchSize, maxSeqLen) => {
    const rows = rowsOf(batchSize, maxSeqLen);
    expectOurs(rows, interpret(rows, 0));
  });

  it('looks up the type of each token', () => {
    const name = 'bert.embeddings.token_type_embeddings.weight';
    const { shape, values } = tensors.get(name)!;
    const second = values.slice(MINUTE.hiddenSize);
    const swapped = { shape, values: Float32Array.of(...second, ...values.slice(0, MINUTE.hiddenSize)) };
    const rows = rowsOf(1, 6);
    expectOurs(rows, interpret(rows, 1), new Map([...tensors, [name, swapped]]));
  });

  it('computes our logits in onnxruntime', async ({ skip }) => {
    const runtime = findOnnxRuntime();
    if (runtime === undefined) return skip('no onnxruntime-node');
    const session = await runtime.InferenceSession.create(new Uint8Array(file));
    for (const rows of [rowsOf(1, 5), rowsOf(4, 40)]) {
      const tensor = (values: Int32Array) =>
        new runtime.Tensor('int64', BigInt64Array.from(values, BigInt), [rows.batchSize, rows.maxSeqLen]);
      const { logits } = await session.run({
        input_ids: tensor(rows.inputIds),
        attention_mask: tensor(rows.attentionMask),
        token_type_ids: tensor(new Int32Array(rows.inputIds.length)),
      });
      expectOurs(rows, logits!.data);
    }
  });
});

/** The part of onnxruntime-node that is used here. */
interface OnnxRuntime {
  readonly Tensor: new (type: 'int64', values: BigInt64Array, shape: readonly number[]) => object;
  readonly InferenceSession: {
    create(model: Uint8Array): Promise<{
      run(
        feeds: Readonly<Record<string, object>>,
      ): Promise<Readonly<Record<string, { readonly data: Float32Array }>>>;
    }>;
  };
}

/** onnxruntime-node where it is installed: here, or in the folder that `TACO_ONNXRUNTIME` names. */
function findOnnxRuntime(): OnnxRuntime | undefined {
  const folders = [process.env.TACO_ONNXRUNTIME, process.cwd()];
  for (const folder of folders) {
    if (folder === undefined || !existsSync(join(folder, 'node_modules', 'onnxruntime-node'))) continue;
    return createRequire(join(folder, 'package.json'))('onnxruntime-node') as OnnxRuntime;
  }
  console.warn('skipped: no onnxruntime-node (TACO_ONNXRUNTIME names a folder with its node_modules)');
  return undefined;
}
