import { execFileSync } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openBackend } from '../../../src/engine/backend.ts';
import { importModel } from '../../../src/export/import-model.ts';
import { InferenceSession } from '../../../src/inference/inference-session.ts';
import type { NamedArray } from '../../../src/train/session-types.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { hubForTest } from '../../support/hub-datasets.ts';
import {
  MINUTE,
  modelFiles,
  type ModelFolder,
  randomTensors,
  safetensorsFile,
  trainedRun,
  writeFolder,
} from '../../support/models.ts';
import { findPython } from '../../support/python.ts';
import { rejectionOf } from '../../support/sources.ts';

const WORDS = 'bert.embeddings.word_embeddings.weight';
const TENSORS = randomTensors();

function renamed(rename: (name: string) => string): Map<string, NamedArray> {
  return new Map([...TENSORS].map(([name, tensor]) => [rename(name), tensor]));
}

const without = (pattern: RegExp) => new Map([...TENSORS].filter(([name]) => !pattern.test(name)));
const withExtra = (extra: Readonly<Record<string, NamedArray>>) =>
  new Map([...TENSORS, ...Object.entries(extra)]);
const withoutWeights = (files: ReturnType<typeof modelFiles>) =>
  Object.fromEntries(Object.entries(files).filter(([name]) => name !== 'model.safetensors'));
const importFolder = (folder: string) => importModel(folder, { context: {} });

async function importFiles(folder: ModelFolder) {
  return importFolder(await writeFolder(modelFiles(folder)));
}

describe('importModel', () => {
  it('reads a Hugging Face folder: configuration, tokenizer, every tensor', async () => {
    const { config, tensors, tokenizer, notes, checkpoint } = await importFiles({});
    expect(config).toEqual({ ...MINUTE });
    expect(tokenizer?.vocabulary).toHaveLength(300);
    expect(tensors).toEqual(TENSORS);
    expect([notes, checkpoint]).toEqual([[], undefined]);
  });

  it.each<[string, Map<string, NamedArray>]>([
    ['without the prefix of a whole model', renamed((name) => name.replace(/^bert\./, ''))],
    [
      'of old versions',
      renamed((name) =>
        name.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta'),
      ),
    ],
    ['of a tied output projection', withExtra({ 'cls.predictions.decoder.weight': TENSORS.get(WORDS)! })],
    [
      'of the bias under its other name',
      renamed((name) => name.replace(/^cls\.predictions\.bias$/, 'cls.predictions.decoder.bias')),
    ],
  ])('reads names %s', async (_, tensors) => {
    const model = await importFiles({ tensors });
    expect(model.tensors).toEqual(TENSORS);
    expect(model.notes).toEqual([]);
  });

  it('leaves other heads and buffers alone, whatever their type, and says so', async () => {
    const scalar = { shape: [2], values: Float32Array.of(1, 2) };
    const tensors = withExtra({
      'bert.embeddings.position_ids': scalar,
      'bert.pooler.dense.bias': scalar,
      'cls.seq_relationship.bias': scalar,
    });
    const typeOf = (name: string) => (name.endsWith('position_ids') ? 'I64' : 'F32');
    const model = await importFiles({ tensors, typeOf });
    expect(model.tensors).toEqual(TENSORS);
    expect(model.notes).toEqual([
      'not read: bert.embeddings.position_ids, bert.pooler.dense.bias, cls.seq_relationship.bias',
    ]);
  });

  it('reads the pooler instead of the MLM head where that is wanted, and makes none', async () => {
    const read = async (tensors: ReadonlyMap<string, NamedArray>) =>
      importModel(await writeFolder(modelFiles({ tensors })), { context: {}, head: 'pooler' });
    const { hiddenSize } = MINUTE;
    const weight = { shape: [hiddenSize, hiddenSize], values: new Float32Array(hiddenSize ** 2).fill(0.5) };
    const bias = { shape: [hiddenSize], values: new Float32Array(hiddenSize).fill(0.25) };
    const pooler = { 'bert.pooler.dense.weight': weight, 'bert.pooler.dense.bias': bias };
    const encoder = without(/^cls\./);

    const classifier = { 'cls.seq_relationship.bias': bias, 'classifier.bias': bias };
    const pooled = await read(withExtra({ ...pooler, ...classifier }));
    expect(pooled.tensors).toEqual(new Map([...encoder, ...Object.entries(pooler)]));
    expect(pooled.notes).toEqual(['not read: classifier.bias']);

    const masked = await read(TENSORS);
    expect(masked.tensors).toEqual(encoder);
    expect(masked.notes).toEqual([]);
    expect((await read(encoder)).tensors).toEqual(encoder);

    await expect(read(withExtra({ 'bert.pooler.dense.weight': weight }))).rejects.toThrow(
      'it lacks bert.pooler.dense.bias',
    );
  });

  it.each(['F16', 'BF16'] as const)('converts %s to float32', async (dtype) => {
    const { tensors, notes } = await importFiles({ typeOf: () => dtype });
    const precision = dtype === 'F16' ? 2 ** -10 : 2 ** -7;
    for (const [name, { values }] of TENSORS) {
      const read = tensors.get(name)!.values;
      expect(read).toBeInstanceOf(Float32Array);
      for (const [at, value] of values.entries()) {
        expect(Math.abs(read[at]! - value)).toBeLessThanOrEqual(
          Math.max(precision * Math.abs(value), 2 ** -14),
        );
      }
    }
    expect(notes).toEqual([`weights were ${dtype}, they are float32 now`]);
  });

  it('makes a missing MLM head anew from the seed, and says so', async () => {
    const folder = await writeFolder(modelFiles({ tensors: without(/^cls\./) }));
    const [one, same, other] = await Promise.all(
      [1, 1, 2].map((seed) => importModel(folder, { context: {}, seed })),
    );
    const dense = 'cls.predictions.transform.dense.weight';
    expect([...one!.tensors.keys()].sort()).toEqual([...TENSORS.keys()].sort());
    expect(one!.tensors).toEqual(same!.tensors);
    expect(one!.tensors.get(dense)).not.toEqual(other!.tensors.get(dense));
    expect(one!.tensors.get(WORDS)).toEqual(TENSORS.get(WORDS));
    expect(one!.notes).toEqual([
      `${folder} has no MLM head (cls.predictions.*): it is initialised from seed 1, and predicts nothing before it is trained`,
    ]);
  });

  it('reads weights in several files, and configurations with keys of other times', async () => {
    const all = [...TENSORS];
    const [first, second] = [new Map(all.slice(0, 9)), new Map(all.slice(9))];
    const files = withoutWeights(modelFiles({ config: { num_beams: 1, id2label: {} } }));
    const map = (tensors: ReadonlyMap<string, unknown>, file: string) =>
      [...tensors.keys()].map((name) => [name, file] as const);
    const folder = await writeFolder({
      ...files,
      'a.safetensors': safetensorsFile(first),
      'b.safetensors': safetensorsFile(second),
      'model.safetensors.index.json': JSON.stringify({
        weight_map: Object.fromEntries([...map(first, 'a.safetensors'), ...map(second, 'b.safetensors')]),
      }),
    });
    const { tensors, notes } = await importFolder(folder);
    expect(new Map([...tensors].sort())).toEqual(new Map([...TENSORS].sort()));
    expect(notes).toEqual([`${join(folder, 'config.json')}: num_beams mean nothing here and are left out`]);
    await rm(join(folder, 'b.safetensors'));
    await expect(importFolder(folder)).rejects.toThrow('names b.safetensors, which is missing');
    const index = join(folder, 'model.safetensors.index.json');
    for (const [text, why] of [
      ['{"weight_map":\n;}', /^\S+ is no index of safetensors files \(.*JSON.*\); fetch the model again$/],
      ['{"weight_map": 1}', /\(it has no "weight_map" of names to files\)/],
    ] as const) {
      await writeFile(index, text);
      expect((await rejectionOf(importFolder(folder))).message).toMatch(why);
    }
  });

  it('reads a model without a tokenizer', async () => {
    const { 'config.json': config, 'model.safetensors': weights } = modelFiles();
    const folder = await writeFolder({ 'config.json': config!, 'model.safetensors': weights! });
    expect((await importFolder(folder)).tokenizer).toBeUndefined();
  });

  it("reads a run's newest whole checkpoint, and a checkpoint by its name", async () => {
    const { run } = await trainedRun();
    const newest = await importFolder(run);
    expect(newest.reference).toBe(join(run, 'checkpoint-8'));
    expect(newest.checkpoint?.state.progress.step).toBe(8);
    expect((await importFolder(join(run, 'checkpoint-4'))).checkpoint?.state.progress.step).toBe(4);

    const weights = join(run, 'checkpoint-8', 'model.safetensors');
    const bytes = await readFile(weights);
    bytes[bytes.length - 5]! ^= 1;
    await writeFile(weights, bytes);
    const before = await importFolder(run);
    expect(before.reference).toBe(join(run, 'checkpoint-4'));
    expect(before.notes[0]).toContain('model.safetensors is not what was written');
    await expect(importFolder(join(run, 'checkpoint-8'))).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('reads a repository of the Hub at a revision, and keeps its files', async () => {
    const other = randomTensors(MINUTE, 8);
    const hub = await hubForTest({
      repositories: [
        {
          type: 'model',
          name: 'org/bert',
          revisions: { main: modelFiles(), v2: modelFiles({ tensors: other }) },
        },
      ],
    });
    const context = { endpoint: hub.endpoint, cacheFolder: await temporaryFolder() };
    const main = await importModel('hub:org/bert', { context });
    expect(main.tensors).toEqual(TENSORS);
    expect(main.reference).toMatch(/^hub:org\/bert@[0-9a-f]{40}$/);
    expect((await importModel('hub:org/bert@v2', { context })).tensors).toEqual(other);
    const { bytesSent } = { bytesSent: hub.bytesSent() };
    expect((await importModel(main.reference, { context })).tensors).toEqual(TENSORS);
    expect(hub.bytesSent() - bytesSent).toBeLessThan(10_000);
    // Without a place to keep them they are read by ranges.
    expect((await importModel('hub:org/bert', { context: { endpoint: hub.endpoint } })).tensors).toEqual(
      TENSORS,
    );
  });

  describe('refuses in one line', () => {
    const refusal = async (folder: string): Promise<string> => {
      const { message } = await rejectionOf(importFolder(folder));
      expect(message).not.toContain('\n');
      return message;
    };

    it.each([
      ['pytorch_model.bin', /is PyTorch's pickle.*python -c .*save_pretrained/],
      ['bert_model.ckpt.index', /is Google's TensorFlow checkpoint.*BertForPreTraining/],
      ['tf_model.h5', /is of TensorFlow or Flax.*from_tf=True/],
    ])('%s alone', async (name, message) => {
      const files = withoutWeights(modelFiles());
      expect(await refusal(await writeFolder({ ...files, [name]: 'x' }))).toMatch(message);
    });

    it('a folder that is missing, or holds no model', async () => {
      const folder = await temporaryFolder();
      expect(await refusal(join(folder, 'absent'))).toMatch(/absent is no folder; expected that of a run/);
      expect(await refusal(folder)).toMatch(/there is no model in .*model\.safetensors is missing/);
      const { 'model.safetensors': weights } = modelFiles();
      expect(await refusal(await writeFolder({ 'model.safetensors': weights! }))).toMatch(
        /config\.json is missing/,
      );
      await expect(importFolder('hub:words')).rejects.toThrow(
        'hub:words is no model of the Hub; expected hub:org/name',
      );
    });

    it('tensors that are not those of the configuration', async () => {
      const wrong = async (folder: ModelFolder) => refusal(await writeFolder(modelFiles(folder)));
      expect(await wrong({ tensors: without(/layer\.1\.output\.dense\.bias/) })).toMatch(
        /it lacks bert\.encoder\.layer\.1\.output\.dense\.bias/,
      );
      expect(await wrong({ tensors: without(/transform\.dense\.bias/) })).toMatch(
        /it lacks cls\.predictions/,
      );
      expect(await wrong({ config: { num_hidden_layers: 1 } })).toMatch(
        /holds bert\.encoder\.layer\.1\..*, which its config\.json does not describe/,
      );
      expect(await wrong({ config: { intermediate_size: 32 } })).toMatch(
        /is \[24, 16\], its config\.json describes \[32, 16\]/,
      );
      expect(await wrong({ config: { vocab_size: 299 } })).toMatch(
        /a tokenizer of 300 words and a model of 299/,
      );
      expect(await wrong({ config: { model_type: 'roberta' } })).toMatch(/"model_type"/);
      const { shape, values } = TENSORS.get(WORDS)!;
      const untied = { shape, values: values.map((value, at) => (at === 77 ? value + 1 : value)) };
      expect(await wrong({ tensors: withExtra({ 'cls.predictions.decoder.weight': untied }) })).toMatch(
        /decoder\.weight differs from .*expected a model whose output projection is tied/,
      );
    });
  });
});

describe("Python's models", () => {
  beforeAll(async () => {
    await openBackend('wasm');
  });

  it('saved in every way predict what Python predicts', async ({ skip }) => {
    const python = findPython(['torch', 'transformers', 'safetensors']);
    if (python === undefined) return skip('no Python with torch and transformers');
    const folder = await temporaryFolder();
    const script = `
import json, sys, torch
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertModel
torch.manual_seed(3)
out = sys.argv[1]
config = BertConfig(vocab_size=120, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
  max_position_embeddings=32, initializer_range=0.3)
ids = torch.randint(5, 120, (1, 20))
expected = {}
for name, kind, dtype in [('masked', BertForMaskedLM, torch.float32), ('pretraining', BertForPreTraining, torch.float32),
    ('half', BertForMaskedLM, torch.float16), ('brain', BertForMaskedLM, torch.bfloat16)]:
  model = kind(config).to(dtype).eval()
  model.save_pretrained(out + '/' + name)
  with torch.no_grad(): result = model.float()(ids)
  expected[name] = (result.logits if kind is BertForMaskedLM else result.prediction_logits).ravel().tolist()
encoder = BertModel(config).eval()
encoder.save_pretrained(out + '/encoder')
with torch.no_grad(): expected['encoder'] = encoder(ids).last_hidden_state.ravel().tolist()
print(json.dumps({'ids': ids[0].tolist(), 'expected': expected}))`;
    const stdout = execFileSync(python, ['-c', script, folder], {
      encoding: 'utf8',
      env: { ...process.env, HF_HUB_OFFLINE: '1' },
    });
    const { ids, expected } = JSON.parse(stdout) as {
      readonly ids: readonly number[];
      readonly expected: Readonly<Record<string, readonly number[]>>;
    };
    expect(Object.keys(expected)).toHaveLength(5);
    const inputIds = Int32Array.from(ids);
    for (const [name, values] of Object.entries(expected)) {
      const { config, tensors, notes } = await importFolder(join(folder, name));
      const session = new InferenceSession(config, tensors);
      const rows = { batchSize: 1, maxSeqLen: 20, inputIds };
      const ours =
        name === 'encoder'
          ? session.hiddenStates(rows).hidden
          : session.predictMasked({ ...rows, positions: inputIds.map((_, at) => at) });
      session.dispose();
      for (const [at, value] of values.entries())
        expect(Math.abs(ours[at]! - value), name).toBeLessThan(1e-4);
      expect(
        notes.some((note) => note.includes('has no MLM head')),
        name,
      ).toBe(name === 'encoder');
    }
  }, 300_000);
});
