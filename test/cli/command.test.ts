import { describe, expect, it } from 'vitest';
import { TacoError } from '../../pipeline/index.ts';
import { type CommandSpec, type Flag, helpOf, parseFlags } from '../../src/cli/command.ts';

const spec = {
  usage: 'npm run x --',
  summary: 'Does x.',
  flags: {
    source: { type: 'string', multiple: true, placeholder: 'name', help: 'where text comes from' },
    'max-seq-len': { type: 'number', help: 'tokens a row' },
    resume: { type: 'boolean', help: 'go on' },
    tau: { type: 'number', help: 'temperature' },
  },
  positionals: ['folder'],
  examples: ['npm run x -- --source a'],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

function messageFor(...argv: string[]): string {
  try {
    parseFlags(spec, argv);
  } catch (error) {
    expect(error).toBeInstanceOf(TacoError);
    expect((error as TacoError).code).toBe('bad-config');
    return (error as TacoError).message;
  }
  throw new Error(`${argv.join(' ')} was accepted`);
}

describe('parseFlags', () => {
  it('returns only the flags that were given, typed', () => {
    const { flags, positionals } = parseFlags(spec, [
      '--source',
      'a',
      '--source=b=c',
      '--max-seq-len',
      '128',
      'runs/x',
    ]);
    expect(flags).toEqual({ source: ['a', 'b=c'], 'max-seq-len': 128 });
    expect(positionals).toEqual(['runs/x']);
  });

  it.each([
    [['--resume'], true],
    [['--no-resume'], false],
  ])('reads %j', (argv, expected) => {
    expect(parseFlags(spec, argv).flags.resume).toBe(expected);
  });

  it('takes negative numbers and exponents as values', () => {
    expect(parseFlags(spec, ['--tau=-1']).flags.tau).toBe(-1);
    expect(parseFlags(spec, ['--tau', '1e-4']).flags.tau).toBe(1e-4);
  });

  it.each(['--help', '-h'])('%s asks for help, whatever else is there', (flag) => {
    expect(parseFlags(spec, [flag, 'a', 'b', 'c']).help).toBe(true);
  });

  it('names what was got and what was expected', () => {
    expect(messageFor('--max-seq-len', 'many')).toBe('--max-seq-len is "many", expected a number');
    expect(messageFor('--max-seq-len')).toContain('--max-seq-len <number>');
    expect(messageFor('--source', '')).toContain('--source <name>');
    expect(messageFor('--tau', '1', '--tau', '2')).toContain('given twice');
    expect(messageFor('--resume=yes')).toContain('takes no value, got "yes"');
    expect(messageFor('a', 'b')).toContain('unexpected argument "b"');
  });

  it('suggests the nearest flag', () => {
    expect(messageFor('--max-seq-length', '3')).toContain('did you mean --max-seq-len?');
    expect(messageFor('--quantum')).not.toContain('did you mean');
    expect(messageFor('--no-tau')).toContain('unknown flag --no-tau');
  });
});

describe('helpOf', () => {
  it('lists every flag with its help', () => {
    const help = helpOf(spec);
    for (const [name, flag] of Object.entries(spec.flags)) {
      expect(help).toContain(`--${name}`);
      expect(help).toContain(flag.help);
    }
    expect(help).toContain('npm run x -- --source a');
  });
});
