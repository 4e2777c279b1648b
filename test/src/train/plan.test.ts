import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { resolveConfig } from '../../../src/train/config.ts';
import { identityOf, pinnedData, planRun } from '../../../src/train/plan.ts';
import { train } from '../../../src/train/run.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { pushBench, REPOSITORY, TOKEN } from '../../support/pushed-dataset.ts';
import { smallRun, writeTrainingFiles } from '../../support/training.ts';

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('a run on a dataset of the Hub', () => {
  it('says what it waits for, in planning, in training and in evaluation', async () => {
    const folder = await temporaryFolder();
    const files = await writeTrainingFiles(folder);
    const bench = await pushBench();
    await bench.push({ folder: files.data });
    vi.stubEnv('HF_ENDPOINT', bench.hub.endpoint);
    vi.stubEnv('HF_TOKEN', TOKEN);
    const flags = { ...smallRun(files, `${folder}/run`), data: `hub:${REPOSITORY}`, 'max-steps': 3 };
    const config = resolveConfig({ flags });
    const busy = { kind: 'status', status: 503 } as const;
    bench.hub.fail({ match: /\/revision\//, fault: busy });
    const waits: string[] = [];
    const plan = await planRun(config, ({ message }) => waits.push(message));
    expect(waits).toEqual([expect.stringMatching(/status 503, try 2 of 10/)]);

    // An evaluation comes first, in this thread; then the thread that makes batches opens the dataset for itself.
    const isShard = (url: string, split: string): boolean => url.includes(`/resolve/`) && url.includes(split);
    bench.hub.fail({ match: ({ url }) => isShard(url, 'validation/'), fault: busy });
    bench.hub.fail({ match: ({ url }) => isShard(url, 'train/'), fault: busy });
    const notes: string[] = [];
    const outcome = await train(plan, {
      resume: undefined,
      signal: new AbortController().signal,
      report: (event) => {
        if (event.kind === 'note') notes.push(event.text);
      },
    });
    expect(outcome.status).toBe('finished');
    expect(waits.slice(1)).toEqual([
      expect.stringMatching(/validation\/\d+\.parquet: status 503, try 2 of 10/),
    ]);
    expect(notes).toEqual([expect.stringMatching(/train\/\d+\.parquet: status 503, try 2 of 10/)]);
  });

  it('is the run on its folder, and stays with the commit it began with', async () => {
    const folder = await temporaryFolder();
    const files = await writeTrainingFiles(folder);
    const bench = await pushBench();
    await bench.push({ folder: files.data });
    vi.stubEnv('HF_ENDPOINT', bench.hub.endpoint);
    vi.stubEnv('HF_TOKEN', TOKEN);
    const planOf = (data: string) =>
      planRun(resolveConfig({ flags: { ...smallRun(files, `${folder}/run`), data } }));
    const local = await planOf(files.data);
    const remote = await planOf(`hub:${REPOSITORY}`);
    expect(remote.tokenizer).toEqual(local.tokenizer);
    const facts = (plan: typeof local) => {
      const { data, ...identity } = identityOf(plan);
      // Where the data lies is no part of what the run is.
      return {
        ...identity,
        settings: {},
        data: { ...data, datasets: data.datasets.map(({ fingerprint }) => fingerprint) },
      };
    };
    expect(facts(remote)).toEqual(facts(local));
    const there = (await bench.hub.filesOf(REPOSITORY))!;
    const commit = bench.hub.commit(REPOSITORY, 'main', Object.fromEntries(there));
    expect(pinnedData(remote)).toEqual([expect.stringMatching(/^hub:team\/words@[0-9a-f]{40}$/)]);
    expect(pinnedData(remote)[0]).not.toContain(commit);
    const other = await writeTrainingFiles(join(folder, 'other'), { seed: 7 });
    const mixed = await planRun(
      resolveConfig({
        flags: { ...smallRun(files, `${folder}/run`), data: [`3:${other.data}`, `1:hub:${REPOSITORY}@main`] },
      }),
    );
    expect(pinnedData(mixed)).toEqual([`3:${other.data}`, `1:hub:${REPOSITORY}@${commit}`]);
  });
});
