import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { modelPreset } from '../../../src/model/config.ts';
import { writeCheckpoint } from '../../../src/train/checkpoint.ts';
import { readInitialWeights, requireFit } from '../../../src/train/initial-weights.ts';
import { writeSafetensors } from '../../../src/train/safetensors.ts';
import type { NamedArray } from '../../../src/train/session-types.ts';
import { contentAt } from '../../support/checkpoints.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { madeUpTokenizer } from '../../support/training.ts';

describe('readInitialWeights', () => {
  it('reads the parameters of a checkpoint, and nothing of its optimiser', async () => {
    const content = contentAt(3);
    const path = await writeCheckpoint(await temporaryFolder(), content);
    const weights = await readInitialWeights(path);
    expect([...weights.keys()]).toEqual(['bert.weight']);
    expect(weights.get('bert.weight')).toEqual(content.tensors.get('bert.weight'));
  });

  it('reads any folder with a model, but not a damaged checkpoint', async () => {
    const path = await writeCheckpoint(await temporaryFolder(), contentAt(3));
    rmSync(join(path, 'state.json'));
    await expect(readInitialWeights(path)).rejects.toThrow('state.json is missing');
    rmSync(join(path, 'manifest.json'));
    expect((await readInitialWeights(path)).size).toBe(1);
    const whole = await writeCheckpoint(await temporaryFolder(), contentAt(3));
    const file = join(whole, 'model.safetensors');
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    await expect(readInitialWeights(whole)).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('says where there is no model', async () => {
    const folder = await temporaryFolder();
    await expect(readInitialWeights(join(folder, 'absent'))).rejects.toThrow(
      /^--init-from \S+absent has no model\.safetensors: name a checkpoint or another folder that has one$/,
    );
    writeFileSync(join(folder, 'latest'), 'checkpoint-3\n');
    await expect(readInitialWeights(folder)).rejects.toThrow('it is a run, name one of its checkpoints');
  });
});

describe('requireFit', () => {
  const tokenizer = madeUpTokenizer(1100);
  const model = modelPreset('tiny', { vocabSize: 1100, hiddenSize: 8, intermediateSize: 8 });

  function weightsOf(sizes: { readonly words?: number; readonly width?: number; readonly layers?: number }) {
    const { words = 1100, width = 8, layers = 2 } = sizes;
    const empty = (...shape: number[]): NamedArray => ({ shape, values: new Float32Array() });
    return new Map([
      ['bert.embeddings.word_embeddings.weight', empty(words, width)],
      ['bert.embeddings.position_embeddings.weight', empty(512, width)],
      ...Array.from({ length: layers }, (_, layer) => [
        [`bert.encoder.layer.${layer}.output.dense.weight`, empty(8, width)] as const,
        [`bert.encoder.layer.${layer}.output.dense.bias`, empty(width)] as const,
      ]).flat(),
    ]);
  }

  it.each([
    [{ words: 30522 }, 'a vocabulary of 30522, the model to train 1100; prepare the data with its tokenizer'],
    [{ width: 512 }, 'a width of 512, the model to train 8; choose its size'],
    [{ layers: 12 }, 'layers: 12, the model to train 2; choose its size'],
  ])('refuses %j', async (sizes, message) => {
    const refused = requireFit('folder', weightsOf(sizes), { model, tokenizer });
    await expect(refused).rejects.toMatchObject({ code: 'mismatch' });
    await expect(refused).rejects.toThrow(`--init-from folder has ${message}`);
  });

  it('refuses other words, also when there are as many', async () => {
    const folder = await temporaryFolder();
    mkdirSync(folder, { recursive: true });
    const check = () => requireFit(folder, weightsOf({}), { model, tokenizer });
    await check();
    const words = [...tokenizer.vocabulary];
    writeFileSync(join(folder, 'vocab.txt'), words.join('\r\n'));
    await check();
    words[7] = 'other';
    writeFileSync(join(folder, 'vocab.txt'), words.join('\n'));
    await expect(check()).rejects.toThrow('its id 7 is "other", that of the data "word7"');
    words[7] = 'word7';
    writeFileSync(join(folder, 'vocab.txt'), words.join('\n'));
    appendFileSync(join(folder, 'vocab.txt'), '\nmore');
    await expect(check()).rejects.toThrow('its id 1100 is "more", that of the data no word');
  });

  it('takes what writes safetensors elsewhere', async () => {
    const folder = await temporaryFolder();
    const tensors = new Map([['a', { shape: [2], values: Float32Array.of(1, 2) }]]);
    await writeSafetensors(join(folder, 'model.safetensors'), tensors);
    expect(await readInitialWeights(folder)).toEqual(tensors);
  });
});
