import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readInitialModel, resultsFolderOf } from '../../../src/glue/initial-model.ts';
import { temporaryFolder } from '../../support/folders.ts';
import { hubForTest } from '../../support/hub-datasets.ts';
import { modelFiles, randomTensors, trainedRun, writeFolder } from '../../support/models.ts';

describe('the model that a fine-tuning starts from', () => {
  it('is a run, its checkpoint, or the same weights without their past', async () => {
    const { run, home } = await trainedRun();
    const ofRun = await readInitialModel(run, {});
    expect(ofRun).toMatchObject({ name: join(run, 'checkpoint-8'), step: 8, notes: [] });
    const checkpoint = await readInitialModel(join(run, 'checkpoint-8'), {});
    expect(checkpoint).toEqual(ofRun);
    const earlier = await readInitialModel(join(run, 'checkpoint-4'), {});
    expect(earlier.step).toBe(4);
    expect(earlier.id).not.toBe(ofRun.id);

    const copy = join(home, 'copy');
    await cp(join(run, 'checkpoint-8'), copy, { recursive: true });
    await rm(join(copy, 'state.json'));
    expect(await readInitialModel(copy, {})).toEqual({ ...ofRun, name: copy, step: 0 });
  });

  it('is known by encoder and pooler, wherever they lie and whatever was trained beside them', async () => {
    const tensors = randomTensors();
    const encoder = new Map([...tensors].filter(([name]) => name.startsWith('bert.')));
    const hub = await hubForTest({
      repositories: [{ type: 'model', name: 'org/bert', revisions: { main: modelFiles({ tensors }) } }],
    });
    const context = { endpoint: hub.endpoint, cacheFolder: await temporaryFolder() };
    const ofHub = await readInitialModel('hub:org/bert', context);
    expect(ofHub.name).toBe('hub:org/bert');
    expect(ofHub.tensors).toEqual(encoder);
    const bare = new Map([...encoder].map(([name, tensor]) => [name.replace('bert.', ''), tensor]));
    const local = await readInitialModel(await writeFolder(modelFiles({ tensors: bare })), {});
    expect(local.id).toBe(ofHub.id);
    const size = 16;
    const pooled = new Map(bare)
      .set('pooler.dense.weight', { shape: [size, size], values: new Float32Array(size * size) })
      .set('pooler.dense.bias', { shape: [size], values: new Float32Array(size) });
    const withPooler = await readInitialModel(await writeFolder(modelFiles({ tensors: pooled })), {});
    expect(withPooler.tensors.has('bert.pooler.dense.weight')).toBe(true);
    expect(withPooler.id).not.toBe(ofHub.id);
  });

  it('must have a tokenizer', async () => {
    const { 'config.json': config, 'model.safetensors': weights } = modelFiles();
    const folder = await writeFolder({ 'config.json': config!, 'model.safetensors': weights! });
    await expect(readInitialModel(folder, {})).rejects.toMatchObject({ code: 'not-found' });
  });
});

it.each([
  ['runs/x/checkpoint-8', 'runs/x/glue/checkpoint-8'],
  ['runs/x/checkpoint-8/', 'runs/x/glue/checkpoint-8'],
  ['out/taco-small', 'out/taco-small-glue'],
  ['out/taco-small/', 'out/taco-small-glue'],
  ['hub:org/name', 'runs/glue/org--name'],
  ['hub:org/checkpoint-8@v2', 'runs/glue/org--checkpoint-8@v2'],
])('results of %s belong to %s', (name, folder) => {
  expect(resultsFolderOf(name)).toBe(folder);
});
