import { onTestFinished } from 'vitest';
import { createHub, type Hub } from '../../pipeline/sources/hub-client.ts';
import { resolveHubDataset } from '../../pipeline/sources/hub.ts';
import type { Source, SourceContext } from '../../pipeline/sources/source.ts';
import { type HubSpec, parseSourceSpec } from '../../pipeline/sources/spec.ts';
import { startTestHub, type TestHub, type TestHubOptions } from './hub/server.ts';
import { VirtualClock } from './sources.ts';
import { textParquet } from './text-parquet.ts';

/** Rows whose text column is a small part of the file: the rest must not be fetched. */
export function articles(numRows: number, name = 'article'): readonly { id: string; text: string }[] {
  return Array.from({ length: numRows }, (_, row) => ({
    id: Array.from({ length: 30 }, (_unused, i) => ((row + 1) * (i + 7919)) ** 2).join(''),
    text: `${name} ${row} ${'lorem ipsum dolor '.repeat(row % 80)}`,
  }));
}

export const FIRST = articles(1500, 'first');
export const SECOND = articles(40, 'second');
/** Two files of a config, the first larger than one read of a footer. */
export const ARTICLE_FILES = {
  'README.md': '# articles',
  'en/train-00000-of-00002.parquet': await textParquet(FIRST, 250),
  'en/train-00001-of-00002.parquet': await textParquet(SECOND, 10),
  'en/test-00000-of-00001.parquet': await textParquet(SECOND.slice(0, 1)),
};
export const ARTICLE_TEXTS: readonly string[] = [...FIRST, ...SECOND].map(({ text }) => text);

/** A test Hub that ends with the test. */
export async function hubForTest(options: TestHubOptions): Promise<TestHub> {
  const hub = await startTestHub(options);
  onTestFinished(() => hub.close());
  return hub;
}

export interface HubBench {
  readonly hub: TestHub;
  readonly clock: VirtualClock;
  readonly client: Hub;
  readonly resolve: (spec: string, context?: SourceContext) => Promise<Source>;
}

/** The articles on a test Hub, with a client whose clock is virtual. */
export async function hubBench(
  options: TestHubOptions = {},
  context: SourceContext = {},
  clock = new VirtualClock(),
): Promise<HubBench> {
  const hub = await hubForTest({
    repositories: [{ name: 'team/articles', revisions: { main: ARTICLE_FILES } }],
    ...options,
  });
  const full = { endpoint: hub.endpoint, onWait: clock.onWait, ...context };
  const client = createHub(full, clock.tuning);
  return {
    hub,
    clock,
    client,
    resolve: (spec, more = {}) =>
      resolveHubDataset(parseSourceSpec(spec) as HubSpec, { ...full, ...more }, client),
  };
}
