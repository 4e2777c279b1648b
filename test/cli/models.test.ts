import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parquetReadObjects } from 'hyparquet';
import { describe, expect, it } from 'vitest';
import { type CommandOptions, runCli } from '../support/commands.ts';
import { hashesBelow, temporaryFolder } from '../support/folders.ts';
import { hubForTest } from '../support/hub-datasets.ts';
import { modelFiles, trainedRun, writeFolder } from '../support/models.ts';

const SENTENCE = 'word7 [MASK] word9';
const wasm = ['--backend', 'wasm'];

async function succeed(command: string, args: readonly string[], options: CommandOptions = {}) {
  const result = await runCli(command, args, options);
  expect({ status: result.status, stderr: result.status === 0 ? '' : result.stderr }).toEqual({
    status: 0,
    stderr: '',
  });
  return result.stdout;
}

describe('commands on a trained model', () => {
  it('export it, fill masks, embed lines and probe it', async () => {
    const { home, run, data } = await trainedRun();
    const out = join(home, 'out');
    expect(await succeed('export', [run, out, '--onnx'])).toMatch(
      /^.*checkpoint-8 → .*out\n {2}model\.safetensors +189 kB\n(?:.*\n)*next: npm run fill-mask -- /,
    );

    const filled = await succeed('fill-mask', [run, SENTENCE, ...wasm]);
    expect(filled.match(/^ *\d+\.\d % {2}\S+$/gm)).toHaveLength(5);
    expect(await succeed('fill-mask', [out, SENTENCE, ...wasm])).toBe(filled);
    const two = await succeed('fill-mask', [out, '[MASK] word8 [MASK]', ...wasm]);
    expect(two.match(/^mask [12]$/gm)).toEqual(['mask 1', 'mask 2']);

    const lines = ['word5 word6', '', `word7 ${'word8 '.repeat(30)}`];
    const text = join(home, 'lines.txt');
    await writeFile(text, lines.join('\n'));
    const vectors = join(home, 'new', 'vectors.parquet');
    expect(await succeed('embed', [run, text, '--out', vectors, ...wasm])).toBe(
      `${vectors}: 3 vectors of 32\n`,
    );
    const rows = await parquetReadObjects({ file: new Uint8Array(await readFile(vectors)).buffer });
    expect(rows.map((row): unknown => row.text)).toEqual(lines);
    for (const row of rows) expect(row.embedding).toHaveLength(32);

    const probed = await succeed('probe', [run, ...wasm]);
    expect(probed).toContain(`checkpoint-8 on 12 validation rows of ${data}\n`);
    for (const name of ['alignment', 'uniformity', 'cosine']) {
      expect(probed).toMatch(new RegExp(`^${name} +-?\\d\\.\\d{4} +-?\\d\\.\\d{4} {3}`, 'm'));
    }
    const again = await succeed('probe', [out, '--data', data, ...wasm]);
    expect(again.split('\n').slice(1)).toEqual(probed.split('\n').slice(1));
  }, 120_000);

  it('reads models of the Hub', async () => {
    const hub = await hubForTest({
      repositories: [{ type: 'model', name: 'org/bert', revisions: { main: modelFiles() } }],
    });
    const cwd = await temporaryFolder();
    const options = { cwd, env: { HF_ENDPOINT: hub.endpoint } };
    const folder = await writeFolder(modelFiles());
    const filled = await succeed('fill-mask', ['hub:org/bert', SENTENCE, ...wasm], options);
    expect(filled).toBe(await succeed('fill-mask', [folder, SENTENCE, ...wasm]));
    await succeed('export', ['hub:org/bert', 'out'], options);
    expect(await succeed('fill-mask', ['out', SENTENCE, ...wasm], options)).toBe(filled);
  }, 120_000);

  it('leave nothing half when the disk is full', async () => {
    const home = await writeFolder(modelFiles());
    const before = await hashesBelow(home);
    const exported = await runCli('export', [home, join(home, 'out'), '--onnx'], { maxFileBlocks: 40 });
    expect(exported.status).toBe(1);
    expect(exported.stderr).toMatch(/^export {2}writing model\.safetensors\nerror: cannot write .*\n$/);
    expect(await hashesBelow(home)).toEqual(before);
  });

  describe('fail with one line', () => {
    it.each<[string, readonly string[], number, RegExp]>([
      ['export', ['MODEL'], 2, /^error: expected a model and a folder to write/],
      [
        'export',
        ['MODEL', 'MODEL'],
        2,
        /^error: .* holds other files \(.*\); export replaces only what it wrote/,
      ],
      ['export', ['absent', 'out'], 1, /^error: absent is no folder; expected that of a run/],
      ['fill-mask', ['MODEL'], 2, /^error: expected a model and a sentence/],
      ['fill-mask', ['MODEL', 'word7'], 2, /^error: "word7" has no \[MASK\], expected at least one to fill/],
      [
        'fill-mask',
        ['MODEL', '[MASK]', '--backend', 'gpu'],
        2,
        /^error: --backend is "gpu", expected one of/,
      ],
      [
        'fill-mask',
        ['hub:bert', '[MASK]'],
        2,
        /^error: hub:bert is no model of the Hub; expected hub:org\/name/,
      ],
      ['embed', ['MODEL'], 2, /^error: expected a model and --out/],
      ['embed', ['MODEL', 'absent.txt', '--out', 'x'], 1, /^error: absent\.txt does not exist/],
      ['embed', ['MODEL', '/dev/null', '--out', 'never.parquet'], 2, /^error: the text is empty/],
      [
        'embed',
        ['MODEL', 'MODEL/vocab.txt', '--out', 'MODEL'],
        2,
        /^error: --out \S+ is a folder; expected a file/,
      ],
      [
        'embed',
        ['MODEL', 'MODEL/vocab.txt', '--out', 'MODEL/vocab.txt'],
        2,
        /^error: --out \S+vocab\.txt is there and is no Parquet; choose another file/,
      ],
      [
        'fill-mask',
        ['MODEL/vocab.txt', '[MASK]'],
        1,
        /^error: \S+vocab\.txt is no folder; expected that of a run/,
      ],
      ['probe', [], 2, /^error: expected a model/],
      [
        'probe',
        ['MODEL'],
        2,
        /^error: .* does not say what it was trained on; give a prepared dataset with --data/,
      ],
      ['probe', ['MODEL', '--rows', '1'], 2, /^error: --rows is 1, expected a whole number of at least 2/],
      ['push-model', ['MODEL'], 2, /^error: expected an exported model and a name on the Hub/],
    ])('%s %j', async (command, args, status, message) => {
      const model = await writeFolder(modelFiles());
      const given = args.map((arg) => arg.replace('MODEL', model));
      const needsBackend = ['fill-mask', 'embed', 'probe'].includes(command) && !args.includes('--backend');
      const result = await runCli(command, needsBackend ? [...given, ...wasm] : given);
      expect(result.stderr).toMatch(message);
      expect(result.stderr.trimEnd()).not.toContain('\n');
      expect(result.status).toBe(status);
    });

    it('for a model without a tokenizer, and for PyTorch files', async () => {
      const folder = await writeFolder(modelFiles());
      for (const name of ['tokenizer.json', 'vocab.txt', 'tokenizer_config.json'])
        await rm(join(folder, name));
      expect((await runCli('fill-mask', [folder, SENTENCE, ...wasm])).stderr).toMatch(
        /^error: .* has no tokenizer \(neither tokenizer\.json nor vocab\.txt\)/,
      );
      await rm(join(folder, 'model.safetensors'));
      await writeFile(join(folder, 'pytorch_model.bin'), '');
      expect((await runCli('fill-mask', [folder, SENTENCE, ...wasm])).stderr).toMatch(
        /^error: .*pytorch_model\.bin is PyTorch's pickle/,
      );
    });
  });
});
