import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { tokenizerFilesOf } from '../../pipeline/text/tokenizer-files.ts';
import { openBackend } from '../../src/engine/backend.ts';
import { type BertConfig, modelPreset, toHuggingFaceConfig } from '../../src/model/config.ts';
import { initialValues } from '../../src/model/init.ts';
import { parameterSpecs, splitParts } from '../../src/model/parameters.ts';
import { resolveConfig } from '../../src/train/config.ts';
import { planRun } from '../../src/train/plan.ts';
import { train } from '../../src/train/run.ts';
import type { NamedArray } from '../../src/train/session-types.ts';
import { temporaryFolder } from './folders.ts';
import { madeUpTokenizer, smallRun, type TrainingFiles, writeTrainingFiles } from './training.ts';

/** A minute BERT. */
export const MINUTE: BertConfig = modelPreset('tiny', {
  vocabSize: 300,
  hiddenSize: 16,
  numHeads: 2,
  numLayers: 2,
  intermediateSize: 24,
  maxPositions: 40,
  // Otherwise the logits hardly depend on the input.
  initializerRange: 0.4,
});

/** All parameters of a model by transformers' names, random. */
export function randomTensors(config: BertConfig = MINUTE, seed = 7): Map<string, NamedArray> {
  const tensors = new Map<string, NamedArray>();
  for (const spec of parameterSpecs(config)) {
    for (const [index, values] of splitParts(spec, initialValues(spec, config, seed)).entries()) {
      const { name, shape } = spec.parts[index]!;
      // Biases and gains of a fresh model are all alike: a mix-up would not show.
      const moved = values.map((value, at) => value + Math.sin(at + name.length) / 8);
      tensors.set(name, { shape, values: moved });
    }
  }
  return tensors;
}

export type StoredType = 'F32' | 'F16' | 'BF16' | 'I64';

/** A safetensors file, its tensors stored in any type. */
export function safetensorsFile(
  tensors: ReadonlyMap<string, NamedArray>,
  typeOf: (name: string) => StoredType = () => 'F32',
): Buffer {
  const header: Record<string, unknown> = {};
  const parts: Buffer[] = [];
  let offset = 0;
  for (const [name, { shape, values }] of tensors) {
    const dtype = typeOf(name);
    const bytes = stored(values, dtype);
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
    parts.push(bytes);
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, ...parts]);
}

function stored(values: Float32Array, dtype: StoredType): Buffer {
  if (dtype === 'F32') return Buffer.from(Float32Array.from(values).buffer);
  if (dtype === 'I64')
    return Buffer.from(BigInt64Array.from(values, (value) => BigInt(Math.trunc(value))).buffer);
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  return Buffer.from(Uint16Array.from(bits, dtype === 'BF16' ? (word) => word >>> 16 : truncatedHalf).buffer);
}

/** Float32 bits to binary16, rounded towards 0; numbers below its least normal one become 0. */
function truncatedHalf(word: number): number {
  const exponent = ((word >>> 23) & 0xff) - 127 + 15;
  const sign = (word >>> 16) & 0x8000;
  return exponent <= 0 ? sign : sign | (exponent << 10) | ((word >>> 13) & 0x3ff);
}

export interface ModelFolder {
  /** Default: all of `randomTensors()`. */
  readonly tensors?: ReadonlyMap<string, NamedArray>;
  readonly typeOf?: (name: string) => StoredType;
  /** Besides the keys of `MINUTE`. */
  readonly config?: Readonly<Record<string, unknown>>;
}

/** Files of a Hugging Face model with a tokenizer, by name. */
export function modelFiles({
  tensors = randomTensors(),
  typeOf,
  config,
}: ModelFolder = {}): Record<string, string | Buffer> {
  return {
    'config.json': JSON.stringify({ ...toHuggingFaceConfig(MINUTE), ...config }),
    'model.safetensors': safetensorsFile(tensors, typeOf),
    ...Object.fromEntries(tokenizerFilesOf(madeUpTokenizer(MINUTE.vocabSize))),
  };
}

/** Writes files into a new folder. */
export async function writeFolder(files: Readonly<Record<string, string | Uint8Array>>): Promise<string> {
  const folder = await temporaryFolder();
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return folder;
}

export interface TrainedRun extends TrainingFiles {
  readonly home: string;
  /** Folder of the run: checkpoints of steps 4 and 8. */
  readonly run: string;
}

/** A finished run of eight updates on WebAssembly. */
export async function trainedRun(): Promise<TrainedRun> {
  await openBackend('wasm');
  const home = await temporaryFolder();
  await mkdir(join(home, 'runs'));
  const run = join(home, 'runs', 'small');
  const files = await writeTrainingFiles(home);
  const flags = { ...smallRun(files, run), 'max-steps': 8, 'eval-steps': 4 };
  const plan = await planRun(resolveConfig({ flags }));
  await train(plan, { resume: undefined, signal: new AbortController().signal, report: () => undefined });
  return { ...files, home, run };
}
