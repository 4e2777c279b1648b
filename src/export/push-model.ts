import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type BranchState,
  diskFile,
  type LocalFile,
  makeRepository,
  memoryFile,
  missingFiles,
  type PlannedRepository,
  planRepository,
  type PushEvent,
  type PushTargetOptions,
  pushUntilComplete,
  TacoError,
  totalBytesOf,
} from '../../pipeline/index.ts';
import { modelFile } from '../train/checkpoint.ts';
import { cardFile, changeIn, type ExportRecord, readRecord, recordFile } from './export-record.ts';
import { cardMark } from './model-card.ts';

/** What a repository may hold besides a model. */
const HARMLESS = /^(?:\.gitattributes|\.gitignore|LICENSE[^/]*)$/i;

export interface PushModelOptions extends PushTargetOptions {
  /** That export wrote. */
  readonly folder: string;
}

/** What a repository lacks. */
export interface ModelDelta {
  readonly upload: readonly LocalFile[];
  /** Files there of a model that was pushed before. */
  readonly stale: readonly string[];
  /** There is a model, this one or another. */
  readonly hasModel: boolean;
}

/** An exported folder as it is now. */
interface ModelContents {
  readonly files: readonly LocalFile[];
  readonly record: ExportRecord;
  /** The card was written over: it goes where this model's is already, too. */
  readonly hasOwnCard: boolean;
}

/** What a push would do. Nothing was changed yet. */
export interface ModelPushPlan extends PlannedRepository, ModelContents {
  readonly folder: string;
  readonly delta: ModelDelta;
}

/**
 * Compares an exported model with what a repository holds. Changes nothing.
 * @throws TacoError `bad-config`, `forbidden`, `not-found`, `network`; `corrupt` when a file is not as it was exported;
 *   the card alone may be another
 */
export async function planModelPush(options: PushModelOptions): Promise<ModelPushPlan> {
  const { folder } = options;
  const record = await readRecord(folder);
  const contents: ModelContents = { record, ...(await localFiles(folder, record)) };
  const target = await planRepository('model', options);
  const delta = await deltaOf(contents, target.repository, target.state);
  const notes = [...target.notes];
  if (delta.hasModel && delta.upload.some(({ path }) => path === modelFile)) {
    notes.push(
      `${target.repository} holds another model, which this one replaces; its commits keep it (${target.state?.commit ?? ''})`,
    );
  }
  return { ...target, ...contents, folder, delta, notes };
}

async function localFiles(folder: string, record: ExportRecord): Promise<Omit<ModelContents, 'record'>> {
  const files: LocalFile[] = [];
  let hasOwnCard = false;
  for (const file of record.files) {
    const path = join(folder, ...file.name.split('/'));
    const change = await changeIn(folder, file);
    if (change === undefined) {
      files.push(diskFile(file.name, path, file.bytes, file.sha256));
    } else if (file.name === cardFile && !change.endsWith('missing')) {
      hasOwnCard = true;
      files.push(memoryFile(cardFile, new Uint8Array(await readFile(path))));
    } else {
      throw new TacoError(`${folder}: ${change} since it was exported; export the model again, then push`, {
        code: 'corrupt',
        stage: 'push',
        path,
      });
    }
  }
  files.push(memoryFile(recordFile, new Uint8Array(await readFile(join(folder, recordFile)))));
  return { files, hasOwnCard };
}

async function deltaOf(
  { files, record, hasOwnCard }: ModelContents,
  repository: string,
  state: BranchState | undefined,
): Promise<ModelDelta> {
  const listed = state?.listed ?? [];
  const own = new Set(files.map(({ path }) => path));
  const hasModel = listed.some(({ path }) => path === recordFile);
  const others = listed.map(({ path }) => path).filter((path) => !own.has(path) && !HARMLESS.test(path));
  const [foreign] = hasModel ? others.filter((path) => !EXPORTED.test(path)) : listedBesides(listed);
  if (foreign !== undefined) {
    throw new TacoError(
      `${repository} holds other files (${foreign}); choose a new name, or a branch of its own with --revision`,
      { code: 'bad-config', stage: 'push', path: repository },
    );
  }
  const weights = record.files.find(({ name }) => name === modelFile)?.sha256 ?? '';
  const keepsCard = !hasOwnCard && state?.card?.includes(cardMark(weights)) === true;
  const wanted = files.filter(({ path }) => path !== cardFile || !keepsCard);
  return { upload: await missingFiles(wanted, listed), stale: others, hasModel };
}

/** What an export may hold that this one does not. */
const EXPORTED = /^(?:loss\.svg|onnx\/model\.onnx)$/;

/** Without an earlier export there may only be what the Hub itself puts into a new repository. */
function listedBesides(listed: BranchState['listed']): readonly string[] {
  return listed.map(({ path }) => path).filter((path) => !HARMLESS.test(path) && path !== cardFile);
}

/**
 * Carries a plan out, in one commit: nobody reads half a model. Started again after an interruption it sends the large
 * files that had not arrived whole.
 * @throws TacoError in one line; the signal's reason
 */
export async function pushModel(plan: ModelPushPlan, report: (event: PushEvent) => void): Promise<void> {
  const { hub, branch, repository: name, record } = plan;
  await makeRepository(plan, report);
  await pushUntilComplete(plan, report, async (state) => {
    const { upload, stale } = await deltaOf(plan, name, state);
    if (upload.length === 0 && stale.length === 0) return false;
    const totalBytes = totalBytesOf(upload);
    const commit = await hub.commit(
      { type: 'model', name },
      {
        branch,
        title: titleOf(record),
        add: upload,
        remove: stale,
        parent: state.commit,
        onProgress: (doneBytes) => {
          report({ kind: 'uploading', doneBytes, totalBytes });
        },
      },
    );
    if (commit !== undefined) {
      report({ kind: 'uploading', doneBytes: totalBytes, totalBytes });
      report({ kind: 'committed', files: upload.map(({ path }) => path) });
    }
    return true;
  });
}

function titleOf({ step, files }: ExportRecord): string {
  const weights = files.find(({ name }) => name === modelFile)?.sha256.slice(0, 12) ?? '';
  return step === null ? `Model ${weights}` : `Model ${weights} after ${step} updates`;
}
