import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { PushEvent } from '../../../pipeline/shards/push-repository.ts';
import { createHubWriter } from '../../../pipeline/sources/hub-upload.ts';
import { exportModel } from '../../../src/export/export-model.ts';
import { importModel } from '../../../src/export/import-model.ts';
import { planModelPush, type PushModelOptions, pushModel } from '../../../src/export/push-model.ts';
import { filesBelow, temporaryFolder } from '../../support/folders.ts';
import type { UploadMode } from '../../support/hub/routes.ts';
import type { TestHubOptions } from '../../support/hub/server.ts';
import { hubForTest } from '../../support/hub-datasets.ts';
import { MINUTE, modelFiles, randomTensors, writeFolder } from '../../support/models.ts';
import { rejectionOf, VirtualClock } from '../../support/sources.ts';

const TOKEN = 'hf_writes';
const REPOSITORY = 'team/bert';
const COMMIT = /^POST \/api\/models\/team\/bert\/commit\//;
const UPLOAD = /^PUT \/upload\/|^POST \/v1\/xorbs\//;

async function exported(onnx: boolean, seed = 7): Promise<string> {
  const out = join(await temporaryFolder(), 'bert');
  const model = await writeFolder(modelFiles({ tensors: randomTensors(MINUTE, seed) }));
  await exportModel(model, out, { onnx, context: {} });
  return out;
}

async function bench(options: TestHubOptions = {}) {
  const clock = new VirtualClock();
  const hub = await hubForTest({
    accounts: { [TOKEN]: { name: 'ann', organizations: ['team'] } },
    ...options,
  });
  const context = { endpoint: hub.endpoint, token: TOKEN, onWait: clock.onWait };
  const writer = createHubWriter(context, clock.tuning);
  const folder = await exported(true);
  const plan = (changes: Partial<PushModelOptions> = {}) =>
    planModelPush({ folder, repository: REPOSITORY, branch: 'main', hub: writer, ...changes });
  return {
    hub,
    clock,
    context,
    folder,
    plan,
    push: async (changes: Partial<PushModelOptions> = {}) => {
      const events: PushEvent[] = [];
      await pushModel(await plan(changes), (event) => {
        events.push(event);
      });
      return events;
    },
    uploads: () => hub.requests.filter(({ method, url }) => UPLOAD.test(`${method} ${url}`)),
    expectPushed: async (of = folder) => {
      const there = new Map(await hub.filesOf(REPOSITORY));
      there.delete('.gitattributes');
      const local = await filesBelow(of);
      expect([...there.keys()].sort()).toEqual([...local.keys()].sort());
      for (const [name, bytes] of local) expect(there.get(name)!.equals(bytes), name).toBe(true);
    },
  };
}

describe('pushModel', () => {
  it.each<[string, UploadMode]>([
    ['in one piece', 'basic'],
    ['in parts', { partBytes: 9000 }],
    ['as Xet', 'xet'],
  ])('brings every file over in one commit, %s, from where it is read', async (_, uploadMode) => {
    const { hub, folder, push, expectPushed, context } = await bench({ uploadMode });
    const events = await push();
    await expectPushed();
    expect(hub.isPrivate(REPOSITORY)).toBe(true);
    expect(hub.requests.filter(({ method, url }) => COMMIT.test(`${method} ${url}`))).toHaveLength(1);
    const progress = events.filter((event) => event.kind === 'uploading').at(-1)!;
    expect(progress.doneBytes).toBe(progress.totalBytes);
    expect(events.at(-1)).toMatchObject({ kind: 'done', isUnchanged: false });
    const local = await importModel(folder, { context: {} });
    const pushed = await importModel(`hub:${REPOSITORY}`, { context });
    expect(pushed.tensors).toEqual(local.tensors);
    expect(pushed.tokenizer).toEqual(local.tokenizer);
  });

  it('of what is there already uploads nothing', async () => {
    const { hub, push } = await bench();
    await push();
    hub.resetLog();
    expect(await push()).toEqual([expect.objectContaining({ kind: 'done', isUnchanged: true })]);
    expect(hub.requests.filter(({ method }) => method !== 'GET')).toEqual([]);
  });

  it('cut off before its commit does not send again what had arrived', async () => {
    const { hub, push, uploads, expectPushed } = await bench();
    hub.fail({ match: COMMIT, fault: { kind: 'status', status: 400 } });
    await expect(push()).rejects.toMatchObject({ code: 'network' });
    expect(uploads()).toHaveLength(2);
    expect([...(await hub.filesOf(REPOSITORY))!.keys()]).toEqual(['.gitattributes']);
    hub.resetLog();
    await push();
    expect(uploads()).toEqual([]);
    await expectPushed();
  });

  it('survives faults in each kind of request', async () => {
    const { hub, clock, push, expectPushed } = await bench();
    const kinds = [/whoami/, /repos\/create/, /\/tree\//, /preupload/, /objects\/batch/, UPLOAD, COMMIT];
    for (const match of kinds) hub.fail({ match, fault: { kind: 'status', status: 503 } });
    await push();
    await expectPushed();
    expect(clock.sleeps.length).toBeGreaterThanOrEqual(kinds.length);
  });

  it('replaces another model at once, with all that belonged to it alone', async () => {
    const { plan, push, expectPushed } = await bench();
    await push();
    const other = await exported(false, 8);
    const { delta, notes } = await plan({ folder: other });
    expect(delta.stale).toEqual(['onnx/model.onnx']);
    expect(notes).toEqual([
      expect.stringContaining('holds another model, which this one replaces') as string,
    ]);
    await push({ folder: other });
    await expectPushed(other);
  });

  it("keeps the owner's card there, and brings one that was edited here", async () => {
    const { hub, folder, push } = await bench();
    await push();
    const cardThere = async () => (await hub.filesOf(REPOSITORY))!.get('README.md')!.toString();
    const edited = (await cardThere()).replace('license: other', 'license: mit');
    const files = Object.fromEntries((await hub.filesOf(REPOSITORY))!);
    hub.commit(REPOSITORY, 'main', { ...files, 'README.md': edited, LICENSE: 'MIT' });
    await push();
    expect(await cardThere()).toBe(edited);
    await writeFile(join(folder, 'README.md'), '---\nlicense: apache-2.0\n---\n# Mine\n');
    await push();
    expect(await cardThere()).toContain('# Mine');
    expect((await hub.filesOf(REPOSITORY))!.has('LICENSE')).toBe(true);
  });

  it('refuses in one line', async () => {
    const { hub, folder, plan, push } = await bench({
      repositories: [
        { type: 'model', name: 'team/other', revisions: { main: { 'pytorch_model.bin': 'x' } } },
        { type: 'model', name: 'team/open', revisions: { main: {} } },
      ],
    });
    const lineOf = async (changes: Partial<PushModelOptions>): Promise<string> => {
      const { message } = await rejectionOf(plan(changes));
      expect(message).not.toContain('\n');
      return message;
    };
    expect(await lineOf({ repository: 'team/other' })).toBe(
      'team/other holds other files (pytorch_model.bin); choose a new name, or a branch of its own with --revision',
    );
    expect(await lineOf({ repository: 'team/open', visibility: 'private' })).toMatch(
      /^team\/open is public, --private was given; make it private at http:\/\/[^/]*\/team\/open\/settings/,
    );
    expect(await lineOf({ repository: 'bert' })).toMatch(/is not the name of a repository/);
    expect(await lineOf({ folder: await writeFolder(modelFiles()) })).toMatch(
      /is no exported model \(export\.json is missing\); make one with npm run export/,
    );
    expect((await rejectionOf(push({ repository: 'nobody/bert' }))).message).toMatch(
      /^cannot create model nobody\/bert \(the Hub answered 403/,
    );
    await writeFile(join(folder, 'config.json'), '{}');
    expect(await lineOf({})).toMatch(
      /config\.json was changed since it was exported; export the model again/,
    );
    await rm(join(folder, 'config.json'));
    expect(await lineOf({})).toMatch(/config\.json is missing since it was exported/);
    expect(hub.requests.some(({ method }) => method === 'PUT')).toBe(false);
  });
});
