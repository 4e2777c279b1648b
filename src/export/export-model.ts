import { mkdir, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import {
  AtomicFile,
  type CommittedFile,
  ensureFolder,
  type Manifest,
  messageOf,
  openDataset,
  type SourceContext,
  syncFolder,
  TacoError,
  type TokenizerSpec,
  tokenizerFilesOf,
  writeFileAtomic,
} from '../../pipeline/index.ts';
import { toHuggingFaceConfig } from '../model/config.ts';
import { countParameters } from '../model/parameters.ts';
import { lossPlot } from '../report/loss-plot.ts';
import { modelFile, replaceFolder, temporaryPrefix } from '../train/checkpoint.ts';
import type { CheckpointState } from '../train/checkpoint-state.ts';
import { type MetricsLine, readMetrics } from '../train/metrics.ts';
import { packageVersion } from '../train/code-version.ts';
import { runFiles } from '../train/run-folder.ts';
import { writeSafetensors } from '../train/safetensors.ts';
import {
  cardFile,
  type ExportedFile,
  recordFile,
  requireReplaceable,
  serializeRecord,
} from './export-record.ts';
import { type ImportedModel, importModel } from './import-model.ts';
import { modelCard } from './model-card.ts';
import { onnxBert } from './onnx-bert.ts';

const onnxFile = 'onnx/model.onnx';
const plotFile = 'loss.svg';
/** Of one protocol buffer. */
const MAX_ONNX_BYTES = 2 ** 31;

export interface ExportOptions {
  /** Also write `onnx/model.onnx`. */
  readonly onnx: boolean;
  /** Access to the Hub. When its signal is aborted nothing is left half. */
  readonly context: SourceContext;
  /** Called before each file with its name. */
  readonly onFile?: (name: string) => void;
}

/** What was written. */
export interface Exported {
  /** The model that was exported. */
  readonly model: ImportedModel;
  readonly files: readonly ExportedFile[];
  /** What the user should know. */
  readonly notes: readonly string[];
}

/**
 * Writes a model as a folder that transformers, and with ONNX transformers.js, load: whole under its name or not at all.
 * @param reference a run, a checkpoint, or anything else that `importModel` reads
 * @param folder to be written; one that export wrote before is replaced
 * @throws TacoError as `importModel`; `bad-config` when the folder holds anything else, `disk`; the signal's reason
 */
export async function exportModel(
  reference: string,
  folder: string,
  { onnx, context, onFile }: ExportOptions,
): Promise<Exported> {
  const final = resolve(folder);
  await requireReplaceable(final);
  const model = await importModel(reference, { context });
  const { tokenizer, config } = model;
  if (tokenizer === undefined) {
    throw new TacoError(
      `${model.reference} has no tokenizer (neither tokenizer.json nor vocab.txt); copy those of the model into it`,
      { code: 'not-found', stage: 'export', path: model.reference },
    );
  }
  if (onnx && 4 * countParameters(config) >= MAX_ONNX_BYTES) {
    throw new TacoError(
      `${model.reference} has ${countParameters(config)} parameters, an ONNX file holds at most 2 GB; leave --onnx out`,
      { code: 'bad-config', stage: 'export', path: model.reference },
    );
  }
  await ensureFolder(dirname(final));
  const temporary = join(dirname(final), temporaryPrefix + basename(final));
  try {
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary);
    const writer = new FolderWriter(temporary, (name) => {
      context.signal?.throwIfAborted();
      onFile?.(name);
    });
    const notes = await writeModel(writer, { ...model, tokenizer }, { title: basename(final), onnx });
    const { files } = writer;
    const step = model.checkpoint?.state.progress.step ?? null;
    const record = serializeRecord({ version: 1, source: model.reference, step, files });
    await writeFileAtomic(join(temporary, recordFile), record);
    await replaceFolder(temporary, final);
    await syncFolder(dirname(final));
    return { model, files, notes: [...model.notes, ...notes] };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    if (error instanceof TacoError || context.signal?.aborted === true) throw error;
    throw new TacoError(`cannot write ${folder}: ${messageOf(error)}`, {
      code: 'disk',
      stage: 'export',
      path: folder,
      cause: error,
    });
  }
}

/** Remembers what it wrote. */
class FolderWriter {
  readonly files: ExportedFile[] = [];
  readonly #folder: string;
  readonly #before: (name: string) => void;

  /** @param before called before each file is written */
  constructor(folder: string, before: (name: string) => void) {
    this.#folder = folder;
    this.#before = before;
  }

  async text(name: string, text: string): Promise<void> {
    await this.write(name, (path) => writeFileAtomic(path, text));
  }

  async write(name: string, write: (path: string) => Promise<CommittedFile>): Promise<CommittedFile> {
    this.#before(name);
    const path = join(this.#folder, ...name.split('/'));
    await ensureFolder(dirname(path));
    const written = await write(path);
    this.files.push({ name, ...written });
    return written;
  }
}

/** @returns what the user should know */
async function writeModel(
  writer: FolderWriter,
  model: ImportedModel & { readonly tokenizer: TokenizerSpec },
  { title, onnx }: { readonly title: string; readonly onnx: boolean },
): Promise<readonly string[]> {
  const { config, tensors, tokenizer, checkpoint, reference } = model;
  const { sha256 } = await writer.write(modelFile, (path) => writeSafetensors(path, tensors));
  await writer.text('config.json', toJson(toHuggingFaceConfig(config)));
  for (const [name, text] of tokenizerFiles(tokenizer, config.maxPositions)) await writer.text(name, text);
  if (onnx) await writer.write(onnxFile, (path) => writeOnnx(path, model));

  const state = checkpoint?.state;
  const history = checkpoint === undefined ? { metrics: [], notes: [] } : await metricsOf(checkpoint);
  const hasPlot = state !== undefined && history.metrics.length > 0;
  if (hasPlot) await writer.text(plotFile, lossPlot(history.metrics, plotOptionsOf(title, state)));
  const card = modelCard({
    title,
    config,
    reference,
    state,
    maskToken: tokenizer.vocabulary[tokenizer.specialTokenIds.mask]!,
    weightsSha256: sha256,
    metrics: history.metrics,
    manifests: await manifestsOf(state),
    plot: hasPlot ? plotFile : undefined,
    hasOnnx: onnx,
  });
  await writer.text(cardFile, card);
  return history.notes;
}

/** With the longest row, to which tokenizers of transformers cut, and the names of the special tokens. */
function tokenizerFiles(tokenizer: TokenizerSpec, maxPositions: number): ReadonlyMap<string, string> {
  const files = new Map(tokenizerFilesOf(tokenizer));
  const config = JSON.parse(files.get('tokenizer_config.json')!) as object;
  files.set('tokenizer_config.json', toJson({ ...config, model_max_length: maxPositions }));
  const names = Object.entries<number>({ ...tokenizer.specialTokenIds }).map(([name, id]) => [
    `${name}_token`,
    tokenizer.vocabulary[id]!,
  ]);
  return files.set('special_tokens_map.json', toJson(Object.fromEntries(names)));
}

async function writeOnnx(path: string, { config, tensors }: ImportedModel): Promise<CommittedFile> {
  const file = await AtomicFile.create(path);
  try {
    for (const piece of onnxBert(config, tensors, packageVersion()).pieces) await file.write(piece);
    return await file.commit();
  } catch (error) {
    await file.discard();
    throw error;
  }
}

/** The run's curves up to the checkpoint; none where they are not beside it. */
async function metricsOf({ path, state }: NonNullable<ImportedModel['checkpoint']>): Promise<{
  readonly metrics: readonly MetricsLine[];
  readonly notes: readonly string[];
}> {
  const file = join(dirname(resolve(path)), runFiles.metrics);
  try {
    const lines = (await readMetrics(file)).filter(({ step }) => step <= state.progress.step);
    const notes = lines.length === 0 ? [`the card has no curves: there are none in ${file}`] : [];
    return { metrics: lines, notes };
  } catch (error) {
    return { metrics: [], notes: [`the card has no curves: ${messageOf(error)}`] };
  }
}

function plotOptionsOf(title: string, { run }: CheckpointState): Parameters<typeof lossPlot>[1] {
  const numNegatives = run.settings.mode === 'taco' ? Number(run.settings['neg-k']) : undefined;
  return { title, vocabSize: run.model.vocabSize!, numNegatives };
}

/** Of the run's datasets that still lie where they were, and are the same. */
async function manifestsOf(state: CheckpointState | undefined): Promise<ReadonlyMap<string, Manifest>> {
  const found = new Map<string, Manifest>();
  for (const { reference, fingerprint } of state?.run.data.datasets ?? []) {
    if (reference.startsWith('hub:')) continue;
    const dataset = await openDataset(reference, { checkShards: false }).catch(() => undefined);
    if (dataset?.fingerprint === fingerprint) found.set(fingerprint, dataset.manifest);
  }
  return found;
}

function toJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
