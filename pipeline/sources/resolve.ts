import type { Source, SourceContext } from './source.ts';
import { resolveLocal } from './local.ts';
import { resolveHubDataset } from './hub.ts';
import { resolveSample } from './sample.ts';
import { parseSourceSpec, type SourceSpec } from './spec.ts';

/**
 * Finds the files that a spec stands for and pins them: a Hub revision becomes a commit, local files get a
 * digest of their content. Nothing of the documents is read yet, beyond a look at the first file's columns.
 * @throws TacoError what is wrong with the source, in one line
 */
export async function resolveSource(spec: string | SourceSpec, context: SourceContext): Promise<Source> {
  const parsed = typeof spec === 'string' ? parseSourceSpec(spec) : spec;
  switch (parsed.kind) {
    case 'hub':
      return resolveHubDataset(parsed, context);
    case 'file':
      return resolveLocal(parsed, context);
    case 'sample':
      return resolveSample(parsed);
  }
}
