import {
  type CommandContext,
  type CommandSpec,
  type Flag,
  helpOf,
  parseFlags,
  reportFailure,
} from '../../src/cli/command.ts';

/**
 * The command line of a benchmark or a stress test, read and explained as those of commands: `--help` prints the flags
 * and ends; a mistake of the user's, found here or later, ends the script with one line and a status that is not zero.
 */
export function scriptArguments<const Flags extends Readonly<Record<string, Flag>>>(
  spec: CommandSpec<Flags>,
): Omit<CommandContext<Flags>, 'signal'> {
  process.on('uncaughtException', (error) => {
    process.exit(reportFailure(error));
  });
  const { flags, positionals, help } = parseFlags(spec, process.argv.slice(2));
  if (help) {
    console.log(helpOf(spec));
    process.exit(0);
  }
  return { flags, positionals };
}
