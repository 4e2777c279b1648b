import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPrepareConfig, type PrepareConfig, type PrepareInput } from '../../pipeline/config.ts';
import type { PrepareOptions } from '../../pipeline/prepare.ts';
import { createHubFiles } from '../../pipeline/sources/hub.ts';
import type { SourceContext, WaitNotice } from '../../pipeline/sources/source.ts';
import type { RepositorySpec } from './hub/repositories.ts';
import { startTestHub, type TestHub, type TestHubOptions } from './hub/server.ts';
import { ARTICLE_FILES } from './hub-datasets.ts';
import { writeVocabulary } from './texts.ts';

/** A test Hub with a dataset and a tokenizer, and what it takes to prepare that. */
export interface HubWorkplace {
  readonly hub: TestHub;
  readonly folder: string;
  /** Every wait so far. */
  readonly notices: readonly WaitNotice[];
  /** Into a folder of that name. */
  readonly config: (out: string, input?: PrepareInput) => PrepareConfig;
  /** A new one for each run, as a process has it. */
  readonly context: (more?: Partial<SourceContext>) => PrepareOptions;
  readonly close: () => Promise<void>;
}

/** The articles of `hub-datasets.ts` and a vocabulary of letters; `close` it at the end of the test. */
export async function hubWorkplace(options: TestHubOptions = {}): Promise<HubWorkplace> {
  const folder = await mkdtemp(join(tmpdir(), 'taco-hub-'));
  await writeVocabulary(join(folder, 'letters.txt'));
  const vocabulary = await readFile(join(folder, 'letters.txt'));
  const model: RepositorySpec = {
    type: 'model',
    name: 'team/letters',
    revisions: { main: { 'vocab.txt': vocabulary } },
  };
  const dataset: RepositorySpec = { name: 'team/articles', revisions: { main: ARTICLE_FILES } };
  const hub = await startTestHub({ repositories: [dataset, model], ...options });
  const notices: WaitNotice[] = [];
  return {
    hub,
    folder,
    notices,
    config: (out, input = {}) =>
      createPrepareConfig({
        sources: ['hub:team/articles/en'],
        tokenizer: 'team/letters',
        validation: '5%',
        rowsPerShard: 1024,
        workers: 0,
        out: join(folder, out),
        ...input,
      }),
    context: (more = {}) => {
      const sources: SourceContext = {
        endpoint: hub.endpoint,
        onWait: (notice) => notices.push(notice),
        ...more,
      };
      return { sources, tokenizers: createHubFiles(sources) };
    },
    close: async () => {
      await hub.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
