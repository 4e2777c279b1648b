import { type FileHandle, open, readFile } from 'node:fs/promises';
import { z } from 'zod';
import { messageOf, systemCodeOf, TacoError } from '../../pipeline/index.ts';

/** JSON has no NaN and no infinity: null stands for both. */
const number = z.number().nullable();

const updateSchema = z
  .object({
    type: z.literal('update'),
    /** Updates made, this one included. */
    step: z.int().positive(),
    learningRate: number,
    loss: number,
    mlmLoss: number,
    mlmAccuracy: number,
    tcLoss: number.optional(),
    tcAccuracy: number.optional(),
    gradNorm: number,
    /** True when the update was left out because loss or gradient were not finite. */
    skipped: z.boolean(),
    /** Tokens trained on so far. */
    numTokens: z.int().nonnegative(),
    /** Of this update alone. */
    tokensPerSecond: number,
    /** Time without a batch to work on before this update. */
    waitMs: number,
  })
  .readonly();

const validationSchema = z
  .object({
    type: z.literal('validation'),
    /** Updates made before the evaluation. */
    step: z.int().nonnegative(),
    mlmLoss: number,
    perplexity: number,
    mlmAccuracy: number,
    tcLoss: number.optional(),
    tcAccuracy: number.optional(),
    numRows: z.int().nonnegative(),
    numMasked: z.int().nonnegative(),
    durationMs: number,
  })
  .readonly();

const lineSchema = z.discriminatedUnion('type', [updateSchema, validationSchema]);

export type UpdateLine = z.infer<typeof updateSchema>;
export type ValidationLine = z.infer<typeof validationSchema>;
/** One line of `metrics.jsonl`. */
export type MetricsLine = UpdateLine | ValidationLine;

/** Appends lines to a run's metrics. One writer a file; the run folder's lock sees to that. */
export class MetricsWriter {
  readonly #handle: FileHandle;
  readonly #path: string;
  #bytes: number;

  private constructor(handle: FileHandle, path: string, bytes: number) {
    this.#handle = handle;
    this.#path = path;
    this.#bytes = bytes;
  }

  /**
   * Opens the file to go on at a checkpoint: lines behind it belong to steps that will be made again, and a torn
   * last line to a process that died; both are cut off.
   * @param keepBytes `position()` at the checkpoint; 0 begins anew
   * @returns the writer, and how many bytes that should be there are not
   * @throws TacoError `disk`
   */
  static async open(
    path: string,
    keepBytes: number,
  ): Promise<{ readonly writer: MetricsWriter; readonly missingBytes: number }> {
    try {
      const handle = await openForUpdate(path);
      const { size } = await handle.stat();
      const kept = Math.min(size, keepBytes);
      await handle.truncate(kept);
      return { writer: new MetricsWriter(handle, path, kept), missingBytes: keepBytes - kept };
    } catch (error) {
      throw diskError('open', path, error);
    }
  }

  /** @throws TacoError `disk` */
  async append(line: MetricsLine): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    try {
      for (let done = 0; done < bytes.byteLength; ) {
        const result = await this.#handle.write(bytes, done, bytes.byteLength - done, this.#bytes + done);
        done += result.bytesWritten;
      }
    } catch (error) {
      throw diskError('write', this.#path, error);
    }
    this.#bytes += bytes.byteLength;
  }

  /**
   * Forces the lines to the disk, so that a checkpoint never knows of lines that a power failure took away.
   * @returns length of the file in bytes
   * @throws TacoError `disk`
   */
  async position(): Promise<number> {
    try {
      await this.#handle.sync();
    } catch (error) {
      throw diskError('write', this.#path, error);
    }
    return this.#bytes;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** For reading and writing without cutting; made when it is not there. */
async function openForUpdate(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    return await open(path, 'wx+');
  }
}

/**
 * All lines of a metrics file; none when there is no file. A torn last line is left out.
 * @throws TacoError `corrupt` for any other line that is not a metric
 */
export async function readMetrics(path: string): Promise<readonly MetricsLine[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return [];
    throw diskError('read', path, error);
  }
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n');
  lines.pop();
  return lines.map((line, index) => {
    try {
      return lineSchema.parse(JSON.parse(line));
    } catch (error) {
      throw new TacoError(`line ${index + 1} of ${path} is not a metric of a run; remove it to go on`, {
        code: 'corrupt',
        stage: 'metrics',
        path,
        cause: error,
      });
    }
  });
}

function diskError(action: string, path: string, error: unknown): TacoError {
  return new TacoError(`cannot ${action} the metrics ${path}: ${messageOf(error)}`, {
    code: 'disk',
    stage: 'metrics',
    path,
    cause: error,
  });
}
