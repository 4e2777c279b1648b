import { HUB_CACHE, hubFromEnvironment, type SourceContext } from '../../pipeline/index.ts';
import { type BackendChoice, backendChoices } from '../engine/index.ts';
import { choiceFlag, type Flag } from './command.ts';

/** Of commands that compute with a model. */
export const backendFlag = {
  type: 'string',
  placeholder: 'auto|tensorflow|wasm',
  help: 'where tensors are computed (default: auto)',
} as const satisfies Flag;

/** @throws TacoError `bad-config` */
export function backendOf(value = 'auto'): BackendChoice {
  return choiceFlag('backend', value, backendChoices);
}

/** Access to models of the Hub, whose files are kept. */
export function modelContext(signal: AbortSignal): SourceContext {
  return {
    ...hubFromEnvironment(process.env),
    cacheFolder: HUB_CACHE,
    signal,
    onWait: ({ message }) => {
      process.stderr.write(`${message}\n`);
    },
  };
}

/** What the user should know goes where it is not taken for the result. */
export function writeNotes(notes: readonly string[]): void {
  for (const note of notes) process.stderr.write(`note: ${note}\n`);
}
