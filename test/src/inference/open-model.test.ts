import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../../../src/train/config.ts';
import { planRun, type RunPlan } from '../../../src/train/plan.ts';
import { train } from '../../../src/train/run.ts';
import { fillMask } from '../../../src/inference/fill-mask.ts';
import { openModel } from '../../../src/inference/open-model.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { findPython } from '../../support/python.ts';
import { smallRun, writeTrainingFiles } from '../../support/training.ts';

const SENTENCE = 'word7 [MASK] word9';

async function trained() {
  const folder = await temporaryFolder();
  const flags = smallRun(await writeTrainingFiles(folder), join(folder, 'run'));
  const plan = await planRun(resolveConfig({ flags: { ...flags, 'max-steps': 4, 'eval-steps': 0 } }));
  await train(plan, {
    resume: undefined,
    signal: new AbortController().signal,
    report: () => undefined,
  });
  return plan;
}

const open = ({ config }: RunPlan) => openModel(config.out, { context: {}, backend: 'wasm' });

describe('openModel', () => {
  it('fills masks with the newest checkpoint', async () => {
    const plan = await trained();
    const model = await open(plan);
    expect(model.reference).toBe(join(plan.config.out, 'checkpoint-4'));
    const [candidates = []] = fillMask(model, SENTENCE);
    model.dispose();
    expect(candidates).toHaveLength(5);
    const probabilities = candidates.map(({ probability }) => probability);
    expect(probabilities).toEqual([...probabilities].sort((a, b) => b - a));
    expect(probabilities[0]).toBeGreaterThan(1 / plan.model.vocabSize);
    for (const { token } of candidates) expect(plan.tokenizer.vocabulary).toContain(token);
  });

  it('needs a checkpoint', async () => {
    const folder = await temporaryFolder();
    const flags = smallRun(await writeTrainingFiles(folder), join(folder, 'run'));
    const plan = await planRun(resolveConfig({ flags }));
    await expect(open(plan)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('predicts what transformers predicts from the checkpoint', async ({ skip }) => {
    const python = findPython(['torch', 'transformers']);
    if (python === undefined) return skip('no Python with torch and transformers');
    const plan = await trained();
    const model = await open(plan);
    const [candidates = []] = fillMask(model, SENTENCE, 20);
    const script = `
import json, sys, torch
from transformers import AutoTokenizer, BertForMaskedLM
model, info = BertForMaskedLM.from_pretrained(sys.argv[1], output_loading_info=True)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
inputs = tokenizer(sys.argv[2], return_tensors='pt')
position = inputs.input_ids[0].tolist().index(tokenizer.mask_token_id)
with torch.no_grad(): probabilities = model.eval()(**inputs).logits[0, position].softmax(-1)
best = probabilities.topk(20)
print(json.dumps({'missing': sorted(info['missing_keys']), 'unexpected': sorted(info['unexpected_keys']),
  'tokens': tokenizer.convert_ids_to_tokens(best.indices.tolist()), 'probabilities': best.values.tolist()}))`;
    const { stdout } = await promisify(execFile)(python, ['-c', script, model.reference, SENTENCE], {
      env: { ...process.env, HF_HUB_OFFLINE: '1' },
    });
    model.dispose();
    const expected = JSON.parse(stdout) as {
      readonly missing: readonly string[];
      readonly unexpected: readonly string[];
      readonly tokens: readonly string[];
      readonly probabilities: readonly number[];
    };
    expect(expected).toMatchObject({ missing: [], unexpected: [] });
    expect(candidates.map(({ token }) => token)).toEqual(expected.tokens);
    for (const [index, { probability }] of candidates.entries()) {
      expect(probability).toBeCloseTo(expected.probabilities[index]!, 6);
    }
  }, 300_000);
});
