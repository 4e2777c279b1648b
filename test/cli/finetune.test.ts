import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { modelPreset } from '../../src/model/config.ts';
import { argumentsOf, runCli, startCli } from '../support/commands.ts';
import { temporaryFolder } from '../support/folders.ts';
import { randomParameters } from '../support/random-model.ts';
import { TOY_TASKS, toyModel as model, writeModelFolder, writeToyGlue } from '../support/toy-task.ts';
import { madeUpTokenizer, smallRun, writeTrainingFiles } from '../support/training.ts';

const FLAGS = ['--max-seq-len', '16', '--lr', '5e-3', '--warmup-steps', '4', '--backend', 'wasm'];

async function writeInputs(numTrain?: number) {
  const folder = await temporaryFolder();
  const glue = join(folder, 'glue-data');
  await writeToyGlue(glue, numTrain);
  const random = join(folder, 'random');
  await writeModelFolder(random, model, randomParameters(model, 9), madeUpTokenizer(1100));
  return { folder, glue, random };
}

describe('npm run finetune and npm run glue', () => {
  it('go from a pretrained run to a table, do nothing twice, and compare', { timeout: 240_000 }, async () => {
    const { folder, glue, random } = await writeInputs();
    const files = await writeTrainingFiles(folder);
    const run = join(folder, 'runs', 'small');
    const trained = await runCli('train', argumentsOf(smallRun(files, run)));
    expect(trained.stderr).toContain('finished: 12 updates');

    const finetune = [run, '--task', 'sst2', '--data', glue, '--epochs', '5', ...FLAGS];
    const first = await runCli('finetune', finetune);
    expect(first.stderr).toContain('SST-2, seed 123: 128 training examples');
    expect(first.stderr).toMatch(/epoch 5\/5: accuracy (9\d\.\d|100\.0)/);
    expect(first.stderr).toMatch(/SST-2, seed 123: last (9\d\.\d|100\.0), best /);
    expect(first.status).toBe(0);
    const results = join(run, 'glue', 'checkpoint-12');
    const record = await readFile(join(results, 'sst2-seed-123.json'), 'utf8');
    expect(JSON.parse(record)).toMatchObject({ task: 'sst2', seed: 123, checkpoint: { step: 12 } });
    const predictions = await readFile(join(results, 'predictions-seed-123', 'SST-2.tsv'), 'utf8');
    expect(predictions.split('\n')).toHaveLength(22);

    const flags = ['--tasks', TOY_TASKS.join(','), '--seeds', '2', '--data', glue, '--epochs', '5', ...FLAGS];
    const all = await runCli('glue', [join(run, 'checkpoint-12'), ...flags]);
    expect(all.status).toBe(0);
    expect(all.stderr).toContain('SST-2, seed 123: finished before');
    expect(all.stderr.match(/training examples/g)).toHaveLength(9);
    expect(all.stderr).toContain(
      'seed 124: no submission for the GLUE server yet: CoLA.tsv is missing (and 10 more)',
    );
    expect(all.stdout).toContain('| TACO, 250k steps (published) |');
    expect(await readFile(join(results, 'sst2-seed-123.json'), 'utf8')).toBe(record);
    expect(await readFile(join(results, 'table.md'), 'utf8')).toBe(all.stdout);

    const several = await runCli('glue', [
      ...[join(run, 'checkpoint-12'), random],
      ...[...flags, '--out', join(folder, 'both')],
    ]);
    expect(several.status).toBe(0);
    expect(await readFile(join(folder, 'both', 'scores.svg'), 'utf8')).toContain(
      'mean of SST-2, CoLA, STS-B, MRPC, RTE',
    );

    const absent = await runCli('glue', [random, join(folder, 'absent'), ...flags, '--seed', '50']);
    expect(absent.status).toBe(1);
    expect(absent.stderr).toContain('absent is no folder');
    expect(absent.stderr).not.toContain('training examples');

    const compared = await runCli('glue', ['--compare', random, run]);
    expect(compared.stdout).toContain('| SST-2 |');
    expect(compared.stdout).not.toContain('Not fine-tuned alike');
    expect(compared.status).toBe(0);

    const other = await runCli('finetune', [...finetune, '--batch-size', '8']);
    expect(other.status).toBe(1);
    expect(other.stderr).toMatch(
      /^error: .*sst2-seed-123\.json was made with batch-size 16, now it is 8; .*\n$/m,
    );
  });

  it('stop at Ctrl-C and leave no result', { timeout: 60_000 }, async () => {
    const { glue, random } = await writeInputs(20_000);
    const flags = [random, '--task', 'sst2', '--data', glue, ...FLAGS];
    const command = startCli('finetune', flags, {
      onStderr: (text, child) => {
        if (text.includes('loss')) child.kill('SIGINT');
      },
    });
    const { status, stderr } = await command.ended;
    expect(status).toBe(130);
    expect(stderr).not.toContain('error');
    expect(existsSync(join(`${random}-glue`, 'sst2-seed-123.json'))).toBe(false);
  });

  it('say in one line what is wrong', { timeout: 120_000 }, async () => {
    const { folder, glue, random } = await writeInputs();
    const other = join(folder, 'other');
    await writeModelFolder(other, model, randomParameters(model, 9), madeUpTokenizer(1200));
    const narrow = join(folder, 'narrow');
    const smaller = modelPreset('tiny', { ...model, vocabSize: 1300 });
    await writeModelFolder(narrow, smaller, randomParameters(model, 9), madeUpTokenizer(1100));
    const base = ['--data', glue, ...FLAGS];
    const lines: string[] = [];
    const fail = async (args: readonly string[]): Promise<void> => {
      const { status, stderr } = await runCli('finetune', args);
      expect(status).not.toBe(0);
      const errors = stderr.split('\n').filter((line) => line.startsWith('error: '));
      expect(errors).toHaveLength(1);
      expect(stderr).not.toContain('    at ');
      lines.push(errors[0]!.replaceAll(folder, ''));
    };
    await fail([random, ...base]);
    await fail(['--task', 'rte', ...base]);
    await fail([random, '--task', 'snli', ...base]);
    await fail([random, '--task', 'qnli', ...base]);
    await fail([other, '--task', 'sst2', ...base]);
    await fail([narrow, '--task', 'sst2', ...base]);
    await fail([join(folder, 'none'), '--task', 'sst2', ...base]);
    await fail([random, '--task', 'sst2', ...base, '--epochs', '0']);
    await fail([random, '--task', 'sst2', '--data', glue, '--max-seq-len', '17', '--backend', 'wasm']);
    await writeFile(join(glue, 'SST-2', 'dev.tsv'), 'sentence\tlabel\nword200\t2\n');
    await fail([random, '--task', 'sst2', ...base]);
    await rm(join(glue, 'SST-2', 'dev.tsv'));
    await fail([random, '--task', 'sst2', ...base]);
    expect(lines).toMatchInlineSnapshot(`
      [
        "error: got no --task, expected one: cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte or wnli",
        "error: got no model, expected one: npm run finetune -- runs/taco-small --task rte",
        "error: "snli" is no task of GLUE, expected one of cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli",
        "error: QNLI has no split train here: /glue-data has no QNLI/train.tsv; name a folder or dataset that has it",
        "error: /other has a tokenizer of 1200 words and a model of 1100; the two are not of one model",
        "error: /narrow is not a BERT that can be read: bert.embeddings.word_embeddings.weight is [1100, 32], its config.json describes [1300, 32]; the two files are not of one model",
        "error: /none is no folder; expected that of a run, a checkpoint or a model, or hub:org/name[@revision]",
        "error: --epochs is 0, expected a whole number of at least 1",
        "error: --max-seq-len is 17, the model has positions for 16; use at most that",
        "error: /glue-data/SST-2/dev.tsv line 2: label is "2", expected one of 0 (negative), 1 (positive) as SST-2 has them; fetch the file again",
        "error: SST-2 has no split validation here: /glue-data has no SST-2/dev.tsv; name a folder or dataset that has it",
      ]
    `);
  });
});
