import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  MODEL_NAMES,
  modelPreset,
  parseBertConfig,
  readBertConfig,
  toHuggingFaceConfig,
} from '../../../src/model/config.ts';
import { countParameters, parameterSpecs } from '../../../src/model/parameters.ts';

const googleSmall = {
  hidden_size: 512,
  hidden_act: 'gelu',
  initializer_range: 0.02,
  vocab_size: 30522,
  hidden_dropout_prob: 0.1,
  num_attention_heads: 8,
  type_vocab_size: 2,
  max_position_embeddings: 512,
  num_hidden_layers: 4,
  intermediate_size: 2048,
  attention_probs_dropout_prob: 0.1,
};

describe('presets', () => {
  it.each([
    // As transformers counts the parameters of BertForMaskedLM.
    ['tiny', 2, 128, 2, 4_416_698],
    ['mini', 4, 256, 4, 11_201_594],
    ['small', 4, 512, 8, 28_795_194],
    ['medium', 8, 512, 8, 41_404_730],
    ['base', 12, 768, 12, 109_514_298],
  ])('%s', (name, numLayers, hiddenSize, numHeads, numParameters) => {
    const config = modelPreset(name);
    expect(config).toMatchObject({ numLayers, hiddenSize, numHeads, intermediateSize: 4 * hiddenSize });
    expect(config).toMatchObject({ vocabSize: 30522, maxPositions: 512, layerNormEpsilon: 1e-12 });
    expect(countParameters(config)).toBe(numParameters);
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('are all tested', () => {
    expect(MODEL_NAMES).toHaveLength(5);
  });

  it('take overrides', () => {
    expect(modelPreset('tiny', { vocabSize: 1000 }).vocabSize).toBe(1000);
  });

  it('name what there is', () => {
    expect(() => modelPreset('large')).toThrow(/model is "large", expected one of tiny, .*--bert-config/);
  });
});

describe('configuration files', () => {
  it("reads Google's format", () => {
    expect(parseBertConfig(googleSmall, 'bert_config.json')).toEqual(modelPreset('small'));
  });

  it('reads a Hugging Face config.json and writes one that it reads', () => {
    const config = modelPreset('mini', { hiddenDropout: 0.2, layerNormEpsilon: 1e-6 });
    expect(parseBertConfig(toHuggingFaceConfig(config), 'config.json')).toEqual(config);
  });

  it.each([
    [{ ...googleSmall, hidden_act: 'relu' }, /hidden_act/],
    [{ ...googleSmall, hidden_size: 0 }, /hidden_size/],
    [{ ...googleSmall, hidden_size: '512' }, /hidden_size/],
    [{ ...googleSmall, num_attention_heads: 7 }, /hidden size 512 is not a multiple of the 7/],
    [{ ...googleSmall, hidden_dropout_prob: 1 }, /hidden_dropout_prob/],
    [{ ...googleSmall, hiden_size: 1 }, /hiden_size/],
    [{ ...googleSmall, position_embedding_type: 'relative_key' }, /position_embedding_type/],
    [{ ...googleSmall, model_type: 'roberta' }, /model_type/],
    [{ ...googleSmall, pad_token_id: 30522 }, /padding id 30522 is outside/],
    [{}, /vocab_size/],
    [[], /not|expected/i],
  ])('refuses %j', (json, message) => {
    expect(() => parseBertConfig(json, 'bert_config.json')).toThrow(message);
  });
});

describe('--bert-config', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bert-config-'));
  });
  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  it('reads a file', async () => {
    const path = join(folder, 'good.json');
    await writeFile(path, JSON.stringify(googleSmall));
    expect(await readBertConfig(path)).toEqual(modelPreset('small'));
  });

  it('says when there is no file', async () => {
    await expect(readBertConfig(join(folder, 'none.json'))).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining('no such file') as string,
    });
  });

  it('says when the file is not JSON', async () => {
    const path = join(folder, 'bad.json');
    await writeFile(path, '{');
    await expect(readBertConfig(path)).rejects.toMatchObject({
      code: 'bad-config',
      message: expect.stringContaining('not JSON') as string,
    });
  });
});

describe('parameters', () => {
  it("bear the names of transformers' BertForMaskedLM", () => {
    const names = parameterSpecs(modelPreset('tiny')).flatMap(({ parts }) => parts.map(({ name }) => name));
    expect(new Set(names).size).toBe(names.length);
    expect(names).toContain('bert.encoder.layer.1.attention.self.query.weight');
    expect(names).toContain('cls.predictions.transform.LayerNorm.bias');
    expect(names).not.toContain('cls.predictions.decoder.weight');
  });

  it('decay unless they are biases or LayerNorm', () => {
    for (const { decays, parts } of parameterSpecs(modelPreset('tiny'))) {
      for (const { name } of parts) expect(decays, name).toBe(!/bias$|LayerNorm/.test(name));
    }
  });
});
