import { z } from 'zod';
import { messageOf, type ModelFiles, readModelFile, TacoError } from '../../pipeline/index.ts';
import { modelFile } from '../train/checkpoint.ts';

/** Says which of several files holds each tensor. */
const indexFile = 'model.safetensors.index.json';
const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/** Weights of other formats, and how they become safetensors. */
const FOREIGN = [
  {
    pattern: /\.(?:bin|pt|pth)$/,
    what: "PyTorch's pickle, which can run any code when it is read",
    advice: (source: string) => `convert it with ${python(`'${source}'`)}`,
  },
  {
    pattern: /\.ckpt(?:\.|$)|^checkpoint$/,
    what: "Google's TensorFlow checkpoint",
    advice: () =>
      "convert it with Python: transformers before 5 read it with BertForPreTraining.from_pretrained('bert_model.ckpt.index', from_tf=True, config='bert_config.json') and write safetensors with save_pretrained",
  },
  {
    pattern: /\.(?:h5|msgpack)$/,
    what: 'of TensorFlow or Flax',
    advice: (source: string) =>
      `convert it with transformers before 5: ${python(`'${source}', from_tf=True`)}`,
  },
] as const;

function python(from: string): string {
  return `python -c "from transformers import AutoModelForMaskedLM as M; M.from_pretrained(${from}).save_pretrained('converted')" and copy the tokenizer's files beside it`;
}

/**
 * Names of the safetensors files of a model.
 * @throws TacoError `not-found` when there are none; where its weights are in another format that and how to convert
 *   them
 */
export async function weightFiles(files: ModelFiles): Promise<readonly string[]> {
  const { names, reference } = files;
  if (names.has(modelFile)) return [modelFile];
  const index = await readModelFile(files, indexFile);
  if (index !== undefined) return filesOfIndex(index, files);
  for (const { pattern, what, advice } of FOREIGN) {
    const name = [...names].find((candidate) => pattern.test(candidate));
    if (name === undefined) continue;
    const source = reference.replace(/^hub:([^@]*).*$/, '$1');
    throw new TacoError(`${files.nameOf(name)} is ${what}, expected ${modelFile}; ${advice(source)}`, {
      code: 'not-found',
      stage: 'model',
      path: reference,
    });
  }
  throw new TacoError(
    `there is no model in ${reference} (${modelFile} is missing); expected a run, a checkpoint, or a Hugging Face folder of BERT`,
    { code: 'not-found', stage: 'model', path: reference },
  );
}

function filesOfIndex(bytes: Uint8Array, files: ModelFiles): readonly string[] {
  const name = files.nameOf(indexFile);
  const noIndex = (why: string, cause: unknown): TacoError =>
    new TacoError(`${name} is no index of safetensors files (${why}); fetch the model again`, {
      code: 'corrupt',
      stage: 'model',
      path: name,
      cause,
    });
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (error) {
    throw noIndex(messageOf(error), error);
  }
  const index = indexSchema.safeParse(json);
  if (!index.success) throw noIndex('it has no "weight_map" of names to files', index.error);
  const parts = [...new Set(Object.values(index.data.weight_map))];
  const missing = parts.find((part) => !files.names.has(part));
  if (missing === undefined) return parts;
  throw new TacoError(`${name} names ${missing}, which is missing; fetch the model again`, {
    code: 'not-found',
    stage: 'model',
    path: name,
  });
}
