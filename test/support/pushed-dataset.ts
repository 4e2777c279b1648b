import { openDataset, type Dataset } from '../../pipeline/shards/dataset.ts';
import { planPush, push, type PushOptions, type PushPlan } from '../../pipeline/shards/push.ts';
import type { PushEvent } from '../../pipeline/shards/push-repository.ts';
import { createHub, type Hub } from '../../pipeline/sources/hub-client.ts';
import { createHubWriter, type HubWriter } from '../../pipeline/sources/hub-upload.ts';
import type { DatasetShape } from './dataset.ts';
import { temporaryFolder } from './folders.ts';
import type { TestHub, TestHubOptions } from './hub/server.ts';
import { hubForTest } from './hub-datasets.ts';
import { VirtualClock } from './sources.ts';
import { writeTrainingFiles } from './training.ts';

export const TOKEN = 'hf_writes';
export const REPOSITORY = 'team/words';

export interface PushBench {
  readonly hub: TestHub;
  readonly clock: VirtualClock;
  /** Of the dataset. */
  readonly folder: string;
  readonly writer: HubWriter;
  /** For reading. */
  readonly client: Hub;
  plan(changes?: Partial<PushOptions>): Promise<PushPlan>;
  /** Plans and carries out. */
  push(changes?: Partial<PushOptions>): Promise<PushEvent[]>;
  /** What was pushed. */
  open(reference?: string): Promise<Dataset>;
}

/** Five shards of up to four row groups. */
export const SHAPE: Partial<DatasetShape> = { train: [32, 32, 21], validation: [8, 5] };

/** A prepared dataset and a Hub that takes it, whose clock is virtual. */
export async function pushBench(
  options: TestHubOptions = {},
  shape: Partial<DatasetShape> = SHAPE,
  clock = new VirtualClock(),
): Promise<PushBench> {
  const hub = await hubForTest({
    accounts: {
      [TOKEN]: { name: 'ann', organizations: ['team'] },
      hf_reads: { name: 'ben', organizations: ['team'], role: 'read' },
      hf_other: { name: 'eve' },
    },
    ...options,
  });
  const { data: folder } = await writeTrainingFiles(await temporaryFolder(), shape);
  const context = { endpoint: hub.endpoint, token: TOKEN, onWait: clock.onWait };
  const writer = createHubWriter(context, clock.tuning);
  const client = createHub(context, clock.tuning);
  const plan = (changes: Partial<PushOptions> = {}): Promise<PushPlan> =>
    planPush({ folder, repository: REPOSITORY, branch: 'main', hub: writer, ...changes });
  return {
    hub,
    clock,
    folder,
    writer,
    client,
    plan,
    async push(changes) {
      const events: PushEvent[] = [];
      await push(await plan(changes), (event) => {
        events.push(event);
      });
      return events;
    },
    open: (reference = `hub:${REPOSITORY}`) => openDataset(reference, { connect: () => client }),
  };
}
