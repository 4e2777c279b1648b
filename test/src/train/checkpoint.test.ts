import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  type CheckpointContent,
  checkpointName,
  readCheckpointTensors,
  stepOfName,
  verifyCheckpoint,
  writeCheckpoint,
} from '../../../src/train/checkpoint.ts';
import {
  findCheckpoint,
  holdsRun,
  listCheckpoints,
  moveRunAside,
  pointLatest,
  removeLeftovers,
  rotate,
  setAsideNewer,
} from '../../../src/train/run-folder.ts';
import { contentAt } from '../../support/checkpoints.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { rejectionOf } from '../../support/sources.ts';

describe('writeCheckpoint', () => {
  it('gives state and tensors back', async () => {
    const folder = await temporaryFolder();
    const content = contentAt(3);
    const path = await writeCheckpoint(folder, content);
    expect(path).toBe(join(folder, 'checkpoint-3'));
    expect(readdirSync(folder)).toEqual(['checkpoint-3']);
    expect(readdirSync(path).sort()).toEqual([
      'config.json',
      'manifest.json',
      'model.safetensors',
      'optimizer.safetensors',
      'state.json',
    ]);
    expect(await verifyCheckpoint(path)).toEqual(content.state);
    const tensors = await readCheckpointTensors(path);
    expect(new Map([...tensors].sort())).toEqual(new Map([...content.tensors].sort()));
  });

  it('replaces a checkpoint of the same step', async () => {
    const folder = await temporaryFolder();
    await writeCheckpoint(folder, contentAt(3));
    const changed = contentAt(3);
    const path = await writeCheckpoint(folder, { ...changed, state: { ...changed.state, metricsBytes: 99 } });
    expect((await verifyCheckpoint(path)).metricsBytes).toBe(99);
    expect(readdirSync(folder)).toEqual(['checkpoint-3']);
  });

  it('leaves nothing behind when the disk refuses', async () => {
    const folder = await temporaryFolder();
    const file = join(folder, 'file');
    writeFileSync(file, '');
    await expect(writeCheckpoint(join(file, 'run'), contentAt(1))).rejects.toMatchObject({ code: 'disk' });
    const name = 'no/such/folder/name';
    const content = { ...contentAt(1), files: new Map([[name, 'x']]) };
    await expect(writeCheckpoint(folder, content)).rejects.toMatchObject({ code: 'disk' });
    expect(readdirSync(folder)).toEqual(['file']);
  });
});

describe('verifyCheckpoint', () => {
  const files = ['model.safetensors', 'optimizer.safetensors', 'state.json', 'manifest.json', 'config.json'];

  it.each(files)('notices when %s is missing', async (name) => {
    const path = await writeCheckpoint(await temporaryFolder(), contentAt(1));
    rmSync(join(path, name));
    await expect(verifyCheckpoint(path)).rejects.toMatchObject({ code: 'corrupt' });
  });

  it.each(files)('notices when %s is longer or has a flipped bit', async (name) => {
    const path = await writeCheckpoint(await temporaryFolder(), contentAt(1));
    const file = join(path, name);
    const original = readFileSync(file);
    appendFileSync(file, 'x');
    await expect(verifyCheckpoint(path)).rejects.toMatchObject({ code: 'corrupt' });
    const flipped = Buffer.from(original);
    flipped[Math.floor(flipped.length / 2)]! ^= 1;
    writeFileSync(file, flipped);
    await expect(verifyCheckpoint(path)).rejects.toMatchObject({ code: 'corrupt' });
  });

  it('reports a file in one line', async () => {
    const path = await writeCheckpoint(await temporaryFolder(), contentAt(1));
    appendFileSync(join(path, 'model.safetensors'), 'x');
    await expect(verifyCheckpoint(path)).rejects.toThrow(
      /checkpoint-1 is damaged: model\.safetensors has \d+ bytes, \d+ were written$/,
    );
    // Node quotes the lines around the mistake.
    const manifest = join(path, 'manifest.json');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace('"files": [', '"files"; ['));
    const { message } = await rejectionOf(verifyCheckpoint(path));
    expect(message).toMatch(/^\S+checkpoint-1 is damaged: manifest\.json cannot be read \(.+\)$/);
  });
});

describe('findCheckpoint', () => {
  it('finds nothing in an empty or absent folder', async () => {
    const folder = await temporaryFolder();
    expect(await findCheckpoint(folder)).toEqual({ checkpoint: undefined, damaged: [] });
    expect(await findCheckpoint(join(folder, 'absent'))).toEqual({ checkpoint: undefined, damaged: [] });
  });

  it('takes the newest by number, not by name', async () => {
    const folder = await temporaryFolder();
    for (const step of [9, 10, 2]) await writeCheckpoint(folder, contentAt(step));
    const { checkpoint } = await findCheckpoint(folder);
    expect(checkpoint?.state.progress.step).toBe(10);
  });

  it('goes back to the one before a damaged one, says so, and keeps the damaged one', async () => {
    const folder = await temporaryFolder();
    for (const step of [1, 2, 3]) await writeCheckpoint(folder, contentAt(step));
    for (const step of [2, 3]) appendFileSync(join(folder, checkpointName(step), 'state.json'), ' ');
    const { checkpoint, damaged } = await findCheckpoint(folder);
    expect(checkpoint?.state.progress.step).toBe(1);
    expect(damaged).toHaveLength(2);
    expect(damaged[0]).toContain('checkpoint-3 is damaged: state.json');
    await pointLatest(folder, 3);
    await setAsideNewer(folder, 1);
    expect(await listCheckpoints(folder)).toEqual([1]);
    expect(readdirSync(folder).sort()).toEqual([
      'checkpoint-1',
      'checkpoint-2.damaged',
      'checkpoint-3.damaged',
      'latest',
    ]);
    expect(readFileSync(join(folder, 'latest'), 'utf8')).toBe('checkpoint-1\n');
  });

  it('reads on what earlier programs wrote, without TensorBoard and precision', async () => {
    const folder = await temporaryFolder();
    const content = contentAt(1);
    const json = JSON.stringify(content.state);
    const older = json.replace('"tensorboardBytes":20,', '').replace('"precision":"f32",', '');
    expect(older).not.toMatch(/tensorboardBytes|precision/);
    const state = JSON.parse(older) as CheckpointContent['state'];
    await writeCheckpoint(folder, { ...content, state });
    const { checkpoint } = await findCheckpoint(folder);
    expect(checkpoint?.state).toEqual({ ...content.state, tensorboardBytes: 0 });
  });

  it.each([
    ['its state', '"version":2,"progress"', '"version":1,"progress"', /has version 1, .* reads version 2/],
    ['its cursor', '"cursor":{"version":2', '"cursor":{"version":1', /has version 1, .* reads version 2/],
  ])('refuses another version of %s, and does not take it for damage', async (_, from, to, message) => {
    const folder = await temporaryFolder();
    await writeCheckpoint(folder, contentAt(1));
    const newest = contentAt(2);
    const json = JSON.stringify(newest.state);
    expect(json).toContain(from);
    const state = JSON.parse(json.replace(from, to)) as CheckpointContent['state'];
    await writeCheckpoint(folder, { ...newest, state });
    const refusal = findCheckpoint(folder);
    await expect(refusal).rejects.toMatchObject({ code: 'mismatch' });
    await expect(refusal).rejects.toThrow(message);
    expect(await listCheckpoints(folder)).toEqual([2, 1]);
  });

  it('does not begin anew by itself when all are damaged', async () => {
    const folder = await temporaryFolder();
    await writeCheckpoint(folder, contentAt(1));
    rmSync(join(folder, 'checkpoint-1', 'manifest.json'));
    await expect(findCheckpoint(folder)).rejects.toThrow('begin anew with --no-resume');
  });
});

describe('rotate', () => {
  it('keeps the newest ones and what is not a checkpoint', async () => {
    const folder = await temporaryFolder();
    for (const step of [1, 2, 3, 10]) await writeCheckpoint(folder, contentAt(step));
    await pointLatest(folder, 10);
    mkdirSync(join(folder, 'checkpoint-mine'));
    await rotate(folder, 2);
    expect(readdirSync(folder).sort()).toEqual([
      'checkpoint-10',
      'checkpoint-3',
      'checkpoint-mine',
      'latest',
    ]);
    expect(readFileSync(join(folder, 'latest'), 'utf8')).toBe('checkpoint-10\n');
    await rotate(folder, 1);
    expect(await listCheckpoints(folder)).toEqual([10]);
    await rotate(folder, 0);
    expect(await listCheckpoints(folder)).toEqual([10]);
  });
});

describe('the folder of a run', () => {
  it('recognises checkpoints by their exact name', () => {
    expect(stepOfName('checkpoint-120')).toBe(120);
    for (const name of ['checkpoint-', 'checkpoint-1.damaged', '.tmp-checkpoint-1', 'latest']) {
      expect(stepOfName(name)).toBeUndefined();
    }
  });

  it('is cleared of what an interrupted write left', async () => {
    const folder = await temporaryFolder();
    mkdirSync(join(folder, '.tmp-checkpoint-5'));
    await writeCheckpoint(folder, contentAt(1));
    await removeLeftovers(folder);
    expect(readdirSync(folder)).toEqual(['checkpoint-1']);
  });

  it('gets a checkpoint back that made way for one of its step which never came', async () => {
    const folder = await temporaryFolder();
    const content = contentAt(1);
    const path = await writeCheckpoint(folder, content);
    renameSync(path, join(folder, '.tmp-checkpoint-1-replaced'));
    mkdirSync(join(folder, '.tmp-checkpoint-1'));
    await removeLeftovers(folder);
    expect(readdirSync(folder)).toEqual(['checkpoint-1']);
    expect(await verifyCheckpoint(path)).toEqual(content.state);

    await writeCheckpoint(folder, contentAt(2));
    renameSync(join(folder, 'checkpoint-2'), join(folder, '.tmp-checkpoint-1-replaced'));
    await removeLeftovers(folder);
    expect(await verifyCheckpoint(path)).toEqual(content.state);
    expect(readdirSync(folder)).toEqual(['checkpoint-1']);
  });

  it('moves aside to the first free name and loses nothing', async () => {
    const folder = join(await temporaryFolder(), 'run');
    mkdirSync(`${folder}-1`, { recursive: true });
    await writeCheckpoint(folder, contentAt(1));
    expect(await holdsRun(folder)).toBe(true);
    expect(await moveRunAside(`${folder}/`)).toBe(`${folder}-2`);
    expect(existsSync(folder)).toBe(false);
    expect(await holdsRun(folder)).toBe(false);
    expect(await listCheckpoints(`${folder}-2`)).toEqual([1]);
  });
});
