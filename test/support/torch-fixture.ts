import { readFileSync } from 'node:fs';
import type { Batch } from '../../pipeline/index.ts';
import { type BertConfig, parseBertConfig } from '../../src/model/config.ts';
import type { NamedArray } from '../../src/train/session.ts';
import { cursorOf } from './cursors.ts';

/** A batch as test/fixtures/torch/make.py writes it. */
export interface FixtureBatch {
  readonly inputIds: readonly number[];
  readonly attentionMask: readonly number[] | null;
  readonly typeIds: readonly number[] | null;
  readonly maskedPositions: readonly number[];
  readonly maskedLabels: readonly number[];
  readonly anchors: readonly number[];
  readonly positives: readonly number[];
  readonly negatives: readonly number[];
}

export interface FixtureStep {
  readonly learningRate: number;
  readonly loss: number;
  readonly gradNorm: number;
}

interface FixtureFile {
  readonly config: unknown;
  readonly batchSize: number;
  readonly maxSeqLen: number;
  readonly temperature: number;
  readonly tcWeight: number;
  readonly weightDecay: number;
  readonly batch: FixtureBatch;
  readonly losses: Readonly<Record<'mlm' | 'taco', { loss: number; mlm: number; tc: number }>>;
  readonly curveBatches: readonly FixtureBatch[];
  readonly curves: Readonly<Record<'mlm' | 'taco', readonly FixtureStep[]>>;
  readonly curveAccumulation: Readonly<Record<'mlm' | 'taco', number>>;
}

export interface TorchFixture extends FixtureFile {
  readonly model: BertConfig;
  /** `parameter.<name>`, `hidden.<i>`, `logits`, `gradient.mlm.<name>`, `gradient.taco.<name>` */
  readonly tensors: ReadonlyMap<string, NamedArray>;
}

const folder = new URL('../fixtures/torch/', import.meta.url);

export function readTorchFixture(): TorchFixture {
  const file = JSON.parse(readFileSync(new URL('bert.json', folder), 'utf8')) as FixtureFile;
  return {
    ...file,
    model: parseBertConfig(file.config, 'bert.json'),
    tensors: readFloats(readFileSync(new URL('bert.safetensors', folder))),
  };
}

/** The tensors whose names begin with a prefix, under the rest of their names. */
export function withoutPrefix(
  tensors: ReadonlyMap<string, NamedArray>,
  prefix: string,
): Map<string, NamedArray> {
  return new Map(
    [...tensors]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, array]) => [name.slice(prefix.length), array]),
  );
}

export function toBatch(fixture: TorchFixture, batch: FixtureBatch): Batch {
  const { batchSize, maxSeqLen } = fixture;
  return {
    batchSize,
    maxSeqLen,
    inputIds: Int32Array.from(batch.inputIds),
    attentionMask: batch.attentionMask === null ? undefined : Int32Array.from(batch.attentionMask),
    maskedPositions: Int32Array.from(batch.maskedPositions),
    maskedLabels: Int32Array.from(batch.maskedLabels),
    pairs: {
      anchors: Int32Array.from(batch.anchors),
      positives: Int32Array.from(batch.positives),
      negatives: Int32Array.from(batch.negatives),
    },
    cursor: cursorOf(0),
  };
}

/** ‖a − b‖ / ‖b‖ */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i += 1) {
    difference += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return Math.sqrt(difference / size);
}

export function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < expected.length; i += 1) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    // NaN compares false, and must not pass.
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

/** A safetensors file of float32: 8 bytes of header size, JSON header, data. */
function readFloats(file: Buffer): Map<string, NamedArray> {
  const headerSize = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerSize)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  const data = file.subarray(8 + headerSize);
  return new Map(
    Object.entries(header)
      .filter(([name]) => name !== '__metadata__')
      .map(
        ([
          name,
          {
            shape,
            data_offsets: [start, end],
          },
        ]) => {
          const values = new Float32Array((end - start) / 4);
          for (let i = 0; i < values.length; i += 1) values[i] = data.readFloatLE(start + 4 * i);
          return [name, { shape, values }];
        },
      ),
  );
}
