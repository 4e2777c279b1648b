import { text } from 'node:stream/consumers';
import { crc32 } from 'node:zlib';
import { join } from 'node:path';
import { readFile } from 'node:fs/promises';
import { openPromise } from 'yauzl';
import { describe, expect, it } from 'vitest';
import {
  submissionFile,
  type SubmissionFile,
  submissionGaps,
  writeSubmission,
} from '../../../src/glue/submission.ts';
import { GLUE_TASKS, type GlueTask } from '../../../src/glue/tasks.ts';
import { temporaryFolder } from '../../support/folders.ts';

const firstTest = (task: GlueTask) => task.tests[0]!;
const fileOf = (task: GlueTask, predictions: readonly number[], indexes = [...predictions.keys()]) =>
  submissionFile(task, firstTest(task), indexes, predictions);

describe('submissionFile', () => {
  it('writes names for MNLI, QNLI and RTE, numbers for the others, scores for STS-B', () => {
    const lines = (task: GlueTask, predictions: readonly number[]) =>
      fileOf(task, predictions).text.split('\n');
    expect(lines(GLUE_TASKS.mnli, [2, 0, 1])).toEqual([
      'index\tprediction',
      '0\tcontradiction',
      '1\tentailment',
      '2\tneutral',
      '',
    ]);
    expect(lines(GLUE_TASKS.qnli, [1, 0]).slice(1, 3)).toEqual(['0\tnot_entailment', '1\tentailment']);
    expect(lines(GLUE_TASKS.rte, [1, 0]).slice(1, 3)).toEqual(['0\tnot_entailment', '1\tentailment']);
    for (const name of ['cola', 'sst2', 'mrpc', 'qqp', 'wnli'] as const) {
      expect(lines(GLUE_TASKS[name], [1, 0]).slice(1, 3)).toEqual(['0\t1', '1\t0']);
    }
    expect(lines(GLUE_TASKS.stsb, [-0.3, 5.2, 2.34567, 5, 0]).slice(1, 6)).toEqual([
      '0\t0.000',
      '1\t5.000',
      '2\t2.346',
      '3\t5.000',
      '4\t0.000',
    ]);
  });

  it('puts lines in the order of the indexes', () => {
    expect(fileOf(GLUE_TASKS.cola, [1, 0, 1], [20, 3, 100]).text).toBe(
      'index\tprediction\n3\t0\n20\t1\n100\t1\n',
    );
  });

  it('refuses what is no prediction', () => {
    expect(() => fileOf(GLUE_TASKS.cola, [0, 2])).toThrow(
      'CoLA.tsv: example 1 has class 2, expected one of 0 to 1',
    );
    expect(() => fileOf(GLUE_TASKS.stsb, [Number.NaN])).toThrow('example 0 has the score NaN');
    expect(() => fileOf(GLUE_TASKS.cola, [0, 1], [4, 4])).toThrow('two predictions for example 4');
    expect(() => fileOf(GLUE_TASKS.cola, [0, 1], [4])).toThrow('2 predictions for 1 examples');
  });
});

function wholeSubmission(): readonly SubmissionFile[] {
  return Object.values(GLUE_TASKS).flatMap((task) =>
    task.tests.map((split) => {
      // Without 390,965 lines of QQP.
      const count = Math.min(split.numExamples, 2000);
      const indexes = Array.from({ length: count }, (_, index) => index);
      const file = submissionFile(
        task,
        split,
        indexes,
        indexes.map((index) => index % 2),
      );
      return { ...file, numExamples: split.numExamples };
    }),
  );
}

describe('writeSubmission', () => {
  it('writes a zip of all files that others can read, the same bytes for the same predictions', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'submission.zip');
    const files = wholeSubmission();
    expect(submissionGaps(files)).toEqual([]);
    await writeSubmission(path, files);
    const bytes = await readFile(path);

    const zip = await openPromise(path);
    const found = new Map<string, string>();
    for await (const entry of zip.eachEntry()) {
      expect(entry.crc32).toBe(crc32(files.find(({ name }) => name === entry.fileName)!.text));
      found.set(entry.fileName, await text(await zip.openReadStreamPromise(entry)));
    }
    expect(found).toEqual(new Map(files.map((file) => [file.name, file.text])));
    expect([...found.keys()].sort().join(' ')).toBe(
      'AX.tsv CoLA.tsv MNLI-m.tsv MNLI-mm.tsv MRPC.tsv QNLI.tsv QQP.tsv RTE.tsv SST-2.tsv STS-B.tsv WNLI.tsv',
    );
    await writeSubmission(path, files);
    expect(await readFile(path)).toEqual(bytes);
  });

  it('says what the server would refuse', () => {
    const files = wholeSubmission().filter(({ name }) => name !== 'AX.tsv');
    const short = files.map((file) => (file.name === 'WNLI.tsv' ? { ...file, numExamples: 71 } : file));
    expect(submissionGaps(short)).toEqual([
      'AX.tsv is missing',
      'WNLI.tsv has 71 predictions, the server expects 146',
    ]);
  });
});
