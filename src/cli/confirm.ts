import { createInterface } from 'node:readline/promises';
import { TacoError } from '../../pipeline/index.ts';

/** A terminal, or what stands for one. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output: NodeJS.WritableStream;
}

export interface ConfirmOptions {
  /** What will happen, as a question. */
  readonly question: string;
  /** `--yes` was given. */
  readonly yes: boolean;
  readonly signal: AbortSignal;
  readonly terminal?: Terminal;
}

/**
 * Asks before something that cannot be taken back.
 * @throws TacoError `bad-config` when the answer is not yes, or nobody can be asked and `--yes` is missing
 */
export async function confirm({ question, yes, signal, terminal }: ConfirmOptions): Promise<void> {
  if (yes) return;
  const { input, output } = terminal ?? { input: process.stdin, output: process.stderr };
  if (input.isTTY !== true) {
    throw new TacoError(`${question} Nobody can be asked here: give --yes if that is meant`, {
      code: 'bad-config',
      stage: 'flags',
    });
  }
  const lines = createInterface({ input, output });
  try {
    const answer = await lines.question(`${question} [y/N] `, { signal });
    if (/^y(?:es)?$/i.test(answer.trim())) return;
  } finally {
    lines.close();
  }
  throw new TacoError('not confirmed: nothing was changed', { code: 'bad-config', stage: 'flags' });
}
