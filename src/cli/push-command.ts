import { createHubWriter, hubFromEnvironment } from '../../pipeline/index.ts';
import { type Flag, usageError } from './command.ts';
import type { Progress } from './progress.ts';

/** Flags of every push; each command says itself what `--public` does. */
export const pushFlags = {
  private: {
    type: 'boolean',
    help: 'a new repository is private (the default); refuse one that is public',
  },
  revision: { type: 'string', placeholder: 'branch', help: 'branch to push to (default: main)' },
  dryRun: { type: 'boolean', help: 'print what would be uploaded, change nothing' },
} as const satisfies Readonly<Record<string, Flag>>;

export interface PushArguments {
  readonly positionals: readonly string[];
  readonly flags: { readonly private?: boolean; readonly public?: boolean; readonly revision?: string };
  /** Completes the message where folder or name are missing. */
  readonly expected: string;
}

/**
 * What a plan of a push is made of.
 * @throws TacoError `bad-config`
 */
export function pushTarget(
  { positionals, flags, expected }: PushArguments,
  { progress, signal }: { readonly progress: Progress; readonly signal: AbortSignal },
) {
  const [folder, repository] = positionals;
  if (folder === undefined || repository === undefined) throw usageError(`expected ${expected}`);
  if (flags.private === true && flags.public === true) {
    throw usageError('--private and --public are given, expected one of them');
  }
  const hub = createHubWriter({
    ...hubFromEnvironment(process.env),
    signal,
    onWait: ({ message }) => {
      progress.message(message);
    },
  });
  const visibility = flags.public === true ? 'public' : flags.private === true ? 'private' : undefined;
  return { folder, repository, hub, visibility, branch: flags.revision ?? 'main', signal } as const;
}
