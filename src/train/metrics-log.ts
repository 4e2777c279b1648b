import { join } from 'node:path';
import { messageOf, TacoError } from '../../pipeline/index.ts';
import { AppendFile } from './append-file.ts';
import type { MetricsLine } from './metrics.ts';
import { runFiles } from './run-folder.ts';
import { fileVersionRecord, scalarsRecord } from './tensorboard.ts';

/** Lengths of the files at a checkpoint. Records behind them belong to steps that will be made again. */
export interface LogPositions {
  readonly metricsBytes: number;
  readonly tensorboardBytes: number;
}

export interface MetricsLogOptions {
  readonly runFolder: string;
  /** Where the checkpoint stands that the run goes on from. */
  readonly from: LogPositions;
  /** Tells the user. */
  readonly note: (text: string) => void;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** A file of the metrics, and how it writes a line. */
interface Sink {
  readonly file: AppendFile;
  readonly encode: (line: MetricsLine) => Uint8Array;
}

type Sinks = Readonly<Record<'metrics' | 'tensorboard', Sink>>;

/** The metrics of a run, in each of their files. */
export class MetricsLog {
  readonly #sinks: Sinks;
  readonly #note: (text: string) => void;
  #isRefused = false;

  private constructor(sinks: Sinks, note: (text: string) => void) {
    this.#sinks = sinks;
    this.#note = note;
  }

  /** @throws TacoError `disk` */
  static async open({ runFolder, from, note, now = Date.now }: MetricsLogOptions): Promise<MetricsLog> {
    const metrics = await openFile(join(runFolder, runFiles.metrics), from.metricsBytes, {
      rest: 'kept',
      note,
    });
    const tensorboard = await openFile(join(runFolder, runFiles.tensorboard), from.tensorboardBytes, {
      rest: 'dropped',
      note,
    });
    const log = new MetricsLog(
      {
        metrics: { file: metrics, encode: (line) => Buffer.from(`${JSON.stringify(line)}\n`) },
        tensorboard: { file: tensorboard, encode: (line) => scalarsRecord(line, now()) },
      },
      note,
    );
    if (tensorboard.size === 0) await log.#write(tensorboard, fileVersionRecord(now()));
    return log;
  }

  /** Adds a line to every file. A disk that takes no more does not stop the run: see `AppendFile`. */
  async append(line: MetricsLine): Promise<void> {
    for (const { encode, file } of Object.values(this.#sinks)) await this.#write(file, encode(line));
  }

  /**
   * Forces everything to the disk.
   * @throws TacoError `disk`
   */
  async positions(): Promise<LogPositions> {
    const { metrics, tensorboard } = this.#sinks;
    const positions = {
      metricsBytes: await metrics.file.sync(),
      tensorboardBytes: await tensorboard.file.sync(),
    };
    this.#isRefused = false;
    return positions;
  }

  async close(): Promise<void> {
    for (const { file } of Object.values(this.#sinks)) await file.close();
  }

  async #write(file: AppendFile, record: Uint8Array): Promise<void> {
    try {
      await file.append(record);
    } catch (error) {
      if (!(error instanceof TacoError) || error.code !== 'disk') throw error;
      if (this.#isRefused) return;
      this.#isRefused = true;
      this.#note(`${messageOf(error)}; training goes on, metrics are kept in memory until there is room`);
    }
  }
}

/**
 * @param rest what becomes of what is left of a file that lost its end: lines can be read on behind a gap, records cannot
 */
async function openFile(
  path: string,
  keepBytes: number,
  { rest, note }: { readonly rest: 'kept' | 'dropped'; readonly note: (text: string) => void },
): Promise<AppendFile> {
  const opened = await AppendFile.open(path, keepBytes);
  if (opened.missingBytes === 0) return opened.file;
  const way = rest === 'kept' ? 'goes on without them' : 'begins anew';
  note(`${path} lacks ${opened.missingBytes} bytes of what was written before the checkpoint; it ${way}`);
  if (rest === 'kept') return opened.file;
  await opened.file.close();
  return (await AppendFile.open(path, 0)).file;
}
