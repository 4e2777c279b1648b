import { rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Observable } from 'rxjs';
import { type PrepareConfig, settingsOf } from './config.ts';
import { TacoError } from './errors.ts';
import { type PrepareContext, type PreparePlan, planPreparation } from './prepare-plan.ts';
import { type PrepareProgress, packInput } from './prepare-stream.ts';
import { ensureFolder, writeFileAtomic } from './shards/atomic.ts';
import { type CommitRecord, commitsOf, damageOf, removeLeftovers } from './shards/check.ts';
import type { Commit } from './shards/full-shards.ts';
import { lockFolder } from './shards/lock.ts';
import type { DatasetTotals, Manifest, ManifestShard, PrepareCursor } from './shards/manifest.ts';
import { writeManifest } from './shards/manifest.ts';
import { SeenDocuments } from './shards/seen-documents.ts';
import { addTotals } from './shards/totals.ts';
import type { FileToHash } from './sources/file-hash.ts';
import { noStageTimes, type StageTimes } from './stage-times.ts';
import { tokenizerFilesOf } from './text/tokenizer-files.ts';
import type { TokenizerSpec } from './text/vocabulary.ts';
import { PoolAhead } from './workers/pool-ahead.ts';

/** What happens during preparation, in order: `planned` first, `done` or `stopped` last. */
export type PrepareEvent =
  | { readonly type: 'planned'; readonly plan: PreparePlan }
  /** Shards of an earlier run are being compared with the manifest. */
  | { readonly type: 'checking'; readonly file: string; readonly index: number; readonly count: number }
  /** A shard is missing or altered and is made again. */
  | { readonly type: 'repairing'; readonly file: string; readonly damage: string }
  | { readonly type: 'progress'; readonly progress: PrepareProgress }
  | { readonly type: 'committed'; readonly shards: readonly ManifestShard[] }
  /** Interrupted: the same configuration continues. No manifest when nothing was begun. */
  | { readonly type: 'stopped'; readonly manifest: Manifest | undefined }
  | {
      readonly type: 'done';
      readonly manifest: Manifest;
      readonly wasComplete: boolean;
      /** Of this run alone. */
      readonly times: Readonly<StageTimes>;
    };

export interface PrepareOptions extends PrepareContext {
  /** Aborted: stop at the next safe place and end with `stopped`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Prepares a dataset: sources ► tokenizer threads ► packer ► shards and manifest. Goes on where an earlier run of
 * the same configuration was interrupted, at any moment, and ends with the same bytes. Unsubscribing stops it
 * like an aborted signal.
 * @throws TacoError (as the stream's error) in one line what is wrong
 */
export function prepare(config: PrepareConfig, options: PrepareOptions): Observable<PrepareEvent> {
  return new Observable((subscriber) => {
    const unsubscribed = new AbortController();
    const { signal } = options;
    const times = noStageTimes();
    const run: Run = {
      times,
      pools: new PoolAhead({ workers: config.workers, settings: settingsOf(config), times }),
      signal: signal === undefined ? unsubscribed.signal : AbortSignal.any([signal, unsubscribed.signal]),
      emit: (event) => {
        subscriber.next(event);
      },
    };
    prepareFolder(config, options, run).then(
      () => {
        subscriber.complete();
      },
      (error: unknown) => {
        subscriber.error(error);
      },
    );
    return () => {
      unsubscribed.abort();
    };
  });
}

interface Run {
  readonly signal: AbortSignal;
  readonly times: StageTimes;
  readonly pools: PoolAhead;
  readonly emit: (event: PrepareEvent) => void;
}

async function prepareFolder(config: PrepareConfig, context: PrepareContext, run: Run): Promise<void> {
  const isNew = await ensureFolder(config.out);
  const lock = await lockFolder(config.out);
  try {
    const plan = await planUnlessStopped(config, context, run);
    if (plan === undefined) {
      run.emit({ type: 'stopped', manifest: undefined });
      return;
    }
    run.emit({ type: 'planned', plan });
    const manifest = await begin(plan);
    await repair(plan, run);
    if (run.signal.aborted) {
      run.emit({ type: 'stopped', manifest });
      return;
    }
    const wasComplete = manifest.status === 'complete';
    const last = wasComplete ? manifest : await fill(plan, manifest, run);
    if (last.status === 'complete') run.emit({ type: 'done', manifest: last, wasComplete, times: run.times });
    else run.emit({ type: 'stopped', manifest: last });
  } finally {
    run.pools.end();
    await lock.release();
    // A run that failed before it wrote anything leaves no empty folder.
    if (isNew) await rmdir(config.out).catch(() => undefined);
  }
}

async function planUnlessStopped(
  config: PrepareConfig,
  context: PrepareContext,
  { signal, pools }: Run,
): Promise<PreparePlan | undefined> {
  const onTokenizer = (tokenizer: TokenizerSpec): void => {
    pools.start(tokenizer);
  };
  try {
    const sources = { ...context.sources, hashFile: (file: FileToHash) => pools.hash(file) };
    const plan = await planPreparation(config, { ...context, sources, onTokenizer });
    return signal.aborted ? undefined : plan;
  } catch (error) {
    // Whatever a request that was cut off throws is no news.
    if (signal.aborted) return undefined;
    throw error;
  }
}

/** Brings the folder to the state that its manifest describes. */
async function begin({ config, tokenizer, manifest, exists }: PreparePlan): Promise<Manifest> {
  // The manifest goes first: what follows belongs to a dataset from then on.
  if (!exists) await writeManifest(config.out, manifest);
  for (const [name, content] of tokenizerFilesOf(tokenizer)) {
    await writeFileAtomic(join(config.out, name), content);
  }
  await removeLeftovers(config.out, manifest);
  return manifest;
}

/** Makes shards again that are not what the manifest says. @throws TacoError `corrupt` when they come out different */
async function repair(plan: PreparePlan, run: Run): Promise<void> {
  const { config, manifest } = plan;
  let index = 0;
  let numCommits = 0;
  for (const commit of commitsOf(manifest)) {
    let isDamaged = false;
    for (const shard of commit.shards) {
      if (run.signal.aborted) return;
      index += 1;
      run.emit({ type: 'checking', file: shard.file, index, count: manifest.shards.length });
      const damage = await damageOf(config.out, shard);
      if (damage === undefined) continue;
      isDamaged = true;
      run.emit({ type: 'repairing', file: shard.file, damage });
    }
    if (isDamaged) await remake(plan, commit, await seenBefore(plan, numCommits), run);
    numCommits += 1;
  }
}

async function remake(
  plan: PreparePlan,
  { shards, start, firstShard }: CommitRecord,
  seen: SeenDocuments | undefined,
  run: Run,
): Promise<void> {
  const expected = new Map(shards.map((shard) => [shard.file, shard.sha256]));
  const onCommit = (commit: Commit): 'stop' => {
    for (const { file, sha256 } of commit.shards) {
      if (expected.get(file) === sha256) continue;
      throw new TacoError(
        `${join(plan.config.out, file)} came out with sha256 ${sha256} when it was made again, the manifest says ${expected.get(file) ?? 'that there is none'}; prepare the dataset in another folder`,
        { code: 'corrupt', stage: 'prepare', path: join(plan.config.out, file) },
      );
    }
    return 'stop';
  };
  const from = start ?? beginningOf(plan);
  try {
    await packInput({ ...streamOf(plan, run), start: from, nextShard: firstShard, seen, onCommit });
  } finally {
    seen?.close();
  }
}

/** What the first commits of a manifest had seen; undefined where duplicates are kept. */
async function seenBefore(
  { config, manifest }: PreparePlan,
  numCommits: number,
): Promise<SeenDocuments | undefined> {
  if (manifest.settings.dedup === 'none') return undefined;
  return SeenDocuments.open(config.out, manifest.seen.slice(0, numCommits));
}

function streamOf({ config, input, tokenizer, manifest }: PreparePlan, run: Run) {
  return {
    folder: config.out,
    settings: manifest.settings,
    input,
    pool: run.pools.take(tokenizer),
    specialTokenIds: tokenizer.specialTokenIds,
    signal: run.signal,
    times: run.times,
    onProgress: (progress: PrepareProgress) => {
      run.emit({ type: 'progress', progress });
    },
  };
}

/** Packs what is not packed yet. @returns the last manifest, complete unless the run was stopped */
async function fill(plan: PreparePlan, begun: Manifest, run: Run): Promise<Manifest> {
  const { out } = plan.config;
  let manifest = begun;
  const nextShard = { train: 0, validation: 0 };
  for (const { split } of manifest.shards) nextShard[split] += 1;
  const start = manifest.shards.at(-1)?.end ?? beginningOf(plan);
  const onCommit = async (commit: Commit, isLast: boolean): Promise<'go on'> => {
    const totals = addTotals(manifest.totals, commit.counts);
    if (isLast) assertHasRows(totals, plan.config);
    const shards = [...manifest.shards, ...commit.shards];
    const seenFiles = commit.seen === undefined ? manifest.seen : [...manifest.seen, commit.seen];
    manifest = { ...manifest, status: isLast ? 'complete' : 'running', shards, seen: seenFiles, totals };
    await writeManifest(out, manifest);
    if (commit.shards.length > 0) run.emit({ type: 'committed', shards: commit.shards });
    return 'go on';
  };
  const seen = await seenBefore(plan, manifest.seen.length);
  try {
    await packInput({ ...streamOf(plan, run), start, nextShard, seen, onCommit });
  } finally {
    seen?.close();
  }
  return manifest;
}

function beginningOf({ input }: PreparePlan): PrepareCursor {
  return { input: input.start(), document: 0, token: 0, carry: { train: [], validation: [] } };
}

function assertHasRows(totals: DatasetTotals, config: PrepareConfig): void {
  if (totals.trainRows > 0) return;
  throw new TacoError(
    `the sources hold ${totals.documents} documents with ${totals.tokens + totals.droppedTokens} tokens, too few for one training row of ${config.maxSeqLen}; take more text or a smaller --max-seq-len`,
    { code: 'bad-config', stage: 'prepare' },
  );
}
