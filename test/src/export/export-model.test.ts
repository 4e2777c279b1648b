import { execFileSync } from 'node:child_process';
import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBackend } from '../../../src/engine/backend.ts';
import { exportModel } from '../../../src/export/export-model.ts';
import { readRecord } from '../../../src/export/export-record.ts';
import { importModel } from '../../../src/export/import-model.ts';
import { InferenceSession } from '../../../src/inference/inference-session.ts';
import { createTokenizer } from '../../../pipeline/text/wordpiece.ts';
import { filesBelow, hashesBelow, temporaryFolder } from '../../support/folders.ts';
import { modelFiles, randomTensors, trainedRun, writeFolder } from '../../support/models.ts';
import { readOnnx } from '../../support/onnx/read.ts';
import { findPython } from '../../support/python.ts';

const plain = { onnx: false, context: {} };

describe('exportModel', () => {
  it('writes a folder that says what the model is and imports as the checkpoint', async () => {
    const { home, run, data } = await trainedRun();
    const out = join(home, 'out', 'small');
    const { files } = await exportModel(run, out, { ...plain, onnx: true });
    const there = await filesBelow(out);
    expect([...there.keys()].sort()).toEqual([...files.map(({ name }) => name), 'export.json'].sort());
    expect([...there.keys()].sort()).toEqual([
      'README.md',
      'config.json',
      'export.json',
      'loss.svg',
      'model.safetensors',
      'onnx/model.onnx',
      'special_tokens_map.json',
      'tokenizer.json',
      'tokenizer_config.json',
      'vocab.txt',
    ]);
    expect(await readRecord(out)).toMatchObject({ source: join(run, 'checkpoint-8'), step: 8, files });

    const original = await importModel(run, { context: {} });
    const again = await importModel(out, { context: {} });
    expect(again.tensors).toEqual(new Map([...original.tensors].sort(([a], [b]) => (a < b ? -1 : 1))));
    expect(again.tokenizer).toEqual(original.tokenizer);
    expect(again.config).toEqual(original.config);
    const json = (name: string) => JSON.parse(there.get(name)!.toString()) as unknown;
    expect(json('special_tokens_map.json')).toEqual({
      pad_token: '[PAD]',
      unk_token: '[UNK]',
      cls_token: '[CLS]',
      sep_token: '[SEP]',
      mask_token: '[MASK]',
    });
    expect(json('tokenizer_config.json')).toMatchObject({ model_max_length: 16, mask_token: '[MASK]' });
    const { constants } = readOnnx(there.get('onnx/model.onnx')!);
    expect([...constants.get('embeddings.words')!.values]).toEqual([
      ...original.tensors.get('bert.embeddings.word_embeddings.weight')!.values,
    ]);

    const card = there.get('README.md')!.toString();
    expect(card).toMatch(/^---\nlicense: other\nlibrary_name: transformers\npipeline_tag: fill-mask\n/);
    expect(card).toContain('# small\n');
    expect(card).toContain('in 8 updates on 1,024 tokens');
    expect(card).toContain(`| dataset | ${data} |`);
    // Of the dataset's manifest.
    expect(card).toContain('commit b04c8d1ceb2f5cd4588862100d08de323dccfbaa');
    expect(card).toContain('| `--lr` | 0.001 |\n');
    expect(card).not.toContain('--out');
    expect(card).toContain('![Losses of training](loss.svg)');
    const evaluations = card.split('## Scores')[1]!.match(/^\| \d+ \|.*$/gm)!;
    expect(evaluations.map((line) => line.split('|')[1]!.trim())).toEqual(['0', '4', '8']);
    expect(evaluations[2]).toMatch(/^\| 8 \| 6\.\d{3} \|/);
  });

  it("tells of a checkpoint's own time alone, and goes without curves that are not there", async () => {
    const { home, run } = await trainedRun();
    const out = join(home, 'four');
    expect((await exportModel(join(run, 'checkpoint-4'), out, plain)).notes).toEqual([]);
    const card = await readFile(join(out, 'README.md'), 'utf8');
    expect(card).toContain('in 4 updates');
    expect(card).not.toMatch(/^\| 8 \|/m);

    const alone = join(home, 'alone', 'checkpoint-4');
    await cp(join(run, 'checkpoint-4'), alone, { recursive: true });
    const { notes } = await exportModel(alone, out, plain);
    expect(notes).toEqual([expect.stringContaining('the card has no curves') as string]);
    expect((await filesBelow(out)).has('loss.svg')).toBe(false);
  });

  it('writes the same bytes again, in place of what it wrote before', async () => {
    const folder = await writeFolder(modelFiles());
    const out = join(await temporaryFolder(), 'out');
    await exportModel(folder, out, { ...plain, onnx: true });
    const before = await hashesBelow(out);
    await exportModel(folder, out, { ...plain, onnx: true });
    expect(await hashesBelow(out)).toEqual(before);
    await exportModel(folder, out, plain);
    expect(Object.keys(await hashesBelow(out))).not.toContain('onnx/model.onnx');
    await exportModel(await writeFolder(modelFiles({ tensors: randomTensors(undefined, 9) })), out, plain);
    expect((await hashesBelow(out))['model.safetensors']).not.toBe(before['model.safetensors']);
  });

  it('takes an empty folder, and replaces none that holds anything else', async () => {
    const model = await writeFolder(modelFiles());
    const home = await temporaryFolder();
    const out = join(home, 'out');
    await mkdir(out);
    // What a process left that was killed.
    await cp(model, join(home, '.tmp-out', 'onnx'), { recursive: true });
    await exportModel(model, out, plain);
    expect(Object.keys(await hashesBelow(home)).filter((name) => !name.startsWith('out/'))).toEqual([]);
    const refusal = async (folder: string): Promise<string> => {
      const before = await hashesBelow(folder);
      const error = await exportModel(model, folder, plain).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'bad-config' });
      expect(await hashesBelow(folder)).toEqual(before);
      return (error as Error).message;
    };
    await writeFile(join(out, 'notes.txt'), 'mine');
    expect(await refusal(out)).toContain('holds other files (notes.txt); export replaces only what it wrote');
    await rm(join(out, 'notes.txt'));
    await writeFile(join(out, 'README.md'), 'my card');
    expect(await refusal(out)).toContain('holds your changes (README.md was changed)');
    // The folder of the model itself, too.
    expect(await refusal(model)).toContain('holds other files');
    await writeFile(join(home, 'file'), '');
    await expect(exportModel(model, join(home, 'file'), plain)).rejects.toThrow('is a file');
  });

  it('leaves what was there when it fails, and nothing half', async () => {
    const { home, run } = await trainedRun();
    const out = join(home, 'out');
    await exportModel(run, out, plain);
    const before = await hashesBelow(out);
    const weights = join(run, 'checkpoint-8', 'model.safetensors');
    await rm(join(run, 'checkpoint-4'), { recursive: true });
    await writeFile(weights, (await readFile(weights)).subarray(0, 5000));
    await expect(exportModel(run, out, plain)).rejects.toMatchObject({ code: 'corrupt' });
    expect(await hashesBelow(out)).toEqual(before);
    // Where the temporary folder cannot be made.
    await symlink('/proc/self/no', join(home, 'nowhere'));
    const model = await writeFolder(modelFiles());
    await expect(exportModel(model, join(home, 'nowhere', 'out'), plain)).rejects.toMatchObject({
      code: 'disk',
    });
    expect(Object.keys(await hashesBelow(home)).filter((name) => name.includes('.tmp-'))).toEqual([]);
  });

  it('tells of every file, and interrupted before any of them leaves what was there', async () => {
    const model = await writeFolder(modelFiles());
    const home = await temporaryFolder();
    const out = join(home, 'out');
    const told: string[] = [];
    const { files } = await exportModel(model, out, {
      ...plain,
      onnx: true,
      onFile: (name) => told.push(name),
    });
    expect(told).toEqual(files.map(({ name }) => name));
    const before = await hashesBelow(home);
    for (const last of told.slice(0, -1)) {
      const abort = new AbortController();
      const stopped = exportModel(model, out, {
        onnx: true,
        context: { signal: abort.signal },
        onFile: (name) => {
          if (name === last) abort.abort();
        },
      });
      await expect(stopped).rejects.toThrow('aborted');
      expect(await hashesBelow(home)).toEqual(before);
    }
  });

  it('is loaded by transformers, with our logits and our ids', async ({ skip }) => {
    const python = findPython(['torch', 'transformers']);
    if (python === undefined) return skip('no Python with torch and transformers');
    const out = join(await temporaryFolder(), 'out');
    const texts = ['word7 WORD12, unknown [MASK] word9.', 'x', `word5 word250 [SEP] ${'word3 '.repeat(20)}`];
    await exportModel(await writeFolder(modelFiles()), out, plain);
    const script = `
import json, sys, torch
from transformers import AutoModelForMaskedLM, AutoTokenizer
model, info = AutoModelForMaskedLM.from_pretrained(sys.argv[1], output_loading_info=True)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
result = []
for text in json.loads(sys.argv[2]):
  inputs = tokenizer(text, return_tensors='pt', truncation=True)
  with torch.no_grad(): logits = model.eval()(**inputs).logits
  result.append({'ids': inputs.input_ids[0].tolist(), 'logits': logits.ravel().tolist()})
print(json.dumps({'missing': sorted(info['missing_keys']), 'unexpected': sorted(info['unexpected_keys']), 'result': result}))`;
    const stdout = execFileSync(python, ['-c', script, out, JSON.stringify(texts)], {
      encoding: 'utf8',
      env: { ...process.env, HF_HUB_OFFLINE: '1' },
    });
    const { result, ...info } = JSON.parse(stdout) as {
      readonly result: readonly { readonly ids: readonly number[]; readonly logits: readonly number[] }[];
    };
    expect(info).toEqual({ missing: [], unexpected: [] });
    await openBackend('wasm');
    const { config, tensors, tokenizer } = await importModel(out, { context: {} });
    const session = new InferenceSession(config, tensors);
    const { encode, specialTokenIds } = { ...tokenizerOf(tokenizer!) };
    for (const [index, { ids, logits }] of result.entries()) {
      expect(ids).toEqual([specialTokenIds.cls, ...encode(texts[index]!), specialTokenIds.sep]);
      const inputIds = Int32Array.from(ids);
      const ours = session.predictMasked({
        batchSize: 1,
        maxSeqLen: ids.length,
        inputIds,
        positions: inputIds.map((_, at) => at),
      });
      expect(ours).toHaveLength(logits.length);
      for (const [at, logit] of logits.entries()) expect(Math.abs(ours[at]! - logit)).toBeLessThan(1e-4);
    }
    session.dispose();
  }, 300_000);
});

function tokenizerOf(spec: Parameters<typeof createTokenizer>[0]) {
  const tokenizer = createTokenizer(spec);
  return { encode: (text: string) => tokenizer.encode(text), specialTokenIds: tokenizer.specialTokenIds };
}
