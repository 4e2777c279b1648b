import { describe, expect, it } from 'vitest';
import { GLUE_TASKS, glueTask, numOutputsOf, splitsOf } from '../../../src/glue/tasks.ts';

describe('glueTask', () => {
  it('knows the nine tasks by their names here and in papers', () => {
    const names = ['CoLA', 'SST-2', 'MRPC', 'STS-B', 'QQP', 'MNLI', 'QNLI', 'RTE', 'WNLI'];
    expect(names.map((name) => glueTask(name).title)).toEqual(names);
    expect(Object.keys(GLUE_TASKS).map((name) => glueTask(name).name)).toEqual(Object.keys(GLUE_TASKS));
    expect(Object.values(GLUE_TASKS).map(numOutputsOf)).toEqual([2, 2, 2, 1, 2, 3, 2, 2, 2]);
  });

  it('numbers the classes as nyu-mll/glue does', () => {
    const labels = Object.fromEntries(Object.values(GLUE_TASKS).map((task) => [task.name, task.labels]));
    expect(labels).toEqual({
      cola: ['unacceptable', 'acceptable'],
      sst2: ['negative', 'positive'],
      mrpc: ['not_equivalent', 'equivalent'],
      stsb: undefined,
      qqp: ['not_duplicate', 'duplicate'],
      mnli: ['entailment', 'neutral', 'contradiction'],
      qnli: ['entailment', 'not_entailment'],
      rte: ['entailment', 'not_entailment'],
      wnli: ['not_entailment', 'entailment'],
    });
  });

  it('names what there is instead of an unknown task', () => {
    expect(() => glueTask('squad')).toThrow(
      '"squad" is no task of GLUE, expected one of cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli',
    );
  });

  it('has the files that the server wants, each once', () => {
    const files = Object.values(GLUE_TASKS).flatMap(({ tests }) => tests.map(({ submission }) => submission));
    expect(files.sort()).toEqual(
      'AX.tsv CoLA.tsv MNLI-m.tsv MNLI-mm.tsv MRPC.tsv QNLI.tsv QQP.tsv RTE.tsv SST-2.tsv STS-B.tsv WNLI.tsv'.split(
        ' ',
      ),
    );
  });

  it('keeps no two splits in one place, but MRPC in its corpus', () => {
    const splits = Object.values(GLUE_TASKS).flatMap(splitsOf);
    expect(new Set(splits.map(({ hub }) => hub)).size).toBe(splits.length);
    const files = splits.flatMap(({ tsv }) => tsv).sort();
    expect(files.filter((file, at) => file === files[at + 1])).toEqual(['MRPC/msr_paraphrase_train.txt']);
  });
});
