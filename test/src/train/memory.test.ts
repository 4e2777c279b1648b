import { describe, expect, it } from 'vitest';
import type { TacoError } from '../../../pipeline/index.ts';
import { modelPreset } from '../../../src/model/config.ts';
import { estimatePeakBytes, requireMemory } from '../../../src/train/memory.ts';

const sizeOf = (name: 'tiny' | 'small', batchSize: number, maxSeqLen: number) => ({
  model: modelPreset(name),
  batchSize,
  maxSeqLen,
  mlmProbability: 0.15,
});

/** Peak resident memory of whole `train` processes, mode taco, by `/usr/bin/time -v`. */
const measured = [
  ['tensorflow', 'small', 8, 128, 1830],
  ['tensorflow', 'small', 32, 128, 2614],
  ['tensorflow', 'small', 16, 256, 2644],
  ['tensorflow', 'small', 8, 512, 3102],
  ['tensorflow', 'tiny', 16, 128, 900],
  ['tensorflow', 'tiny', 128, 128, 1915],
  ['tensorflow', 'tiny', 256, 64, 1868],
  ['wasm', 'small', 8, 128, 1578],
  ['wasm', 'small', 24, 128, 2186],
  ['wasm', 'tiny', 16, 128, 576],
  ['wasm', 'tiny', 128, 128, 1685],
] as const;

it.each(measured)('%s %s %i × %i took %i MB: the estimate is near', (backend, model, rows, length, mib) => {
  const ratio = estimatePeakBytes(sizeOf(model, rows, length), backend) / (mib * 1.024e6);
  expect(ratio).toBeGreaterThan(0.8);
  expect(ratio).toBeLessThan(1.2);
});

describe('requireMemory', () => {
  const large = { ...sizeOf('small', 128, 256), gradAccum: 4 };

  it('names a micro-batch that fits and makes updates of as many rows', () => {
    let error: unknown;
    try {
      requireMemory(large, { name: 'tensorflow', device: 'CPU' }, 8e9);
    } catch (thrown) {
      error = thrown;
    }
    const { code, message } = error as TacoError;
    expect(code).toBe('backend');
    const advice = /--batch-size (\d+) --grad-accum (\d+)/.exec(message);
    expect(message).toContain('there are 8.0 GB');
    const [batchSize, gradAccum] = [Number(advice?.[1]), Number(advice?.[2])];
    expect(batchSize * gradAccum).toBe(large.batchSize * large.gradAccum);
    expect(() => {
      requireMemory({ ...large, batchSize, gradAccum }, { name: 'tensorflow', device: 'CPU' }, 8e9);
    }).not.toThrow();
  });

  it('knows that WebAssembly ends at 4 GiB on any machine', () => {
    expect(() => {
      requireMemory(large, { name: 'wasm', device: 'CPU' }, 1e12);
    }).toThrow('WebAssembly can address 4.3 GB');
  });

  it('says when no micro-batch fits', () => {
    expect(() => {
      requireMemory(large, { name: 'tensorflow', device: 'CPU' }, 1e9);
    }).toThrow('choose a smaller --model');
  });

  it('lets a GPU and whatever fits pass', () => {
    requireMemory(large, { name: 'tensorflow', device: 'GPU' }, 1e9);
    requireMemory({ ...sizeOf('tiny', 16, 64), gradAccum: 1 }, { name: 'wasm', device: 'CPU' }, 4e9);
  });
});
