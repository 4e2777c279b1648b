import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { choosePrecision, type PrecisionProbe } from '../../../src/engine/precision.ts';
import { processorFeatures } from '../../../src/engine/processor.ts';
import { temporaryFolder } from '../../support/folders.ts';

const probe = (processorHasBf16: boolean, computeCapability?: number): PrecisionProbe => ({
  processorHasBf16: () => processorHasBf16,
  computeCapability: () => computeCapability,
});
const cpu = { name: 'tensorflow', device: 'CPU' } as const;
const gpu = { name: 'tensorflow', device: 'GPU' } as const;
const wasm = { name: 'wasm', device: 'CPU' } as const;

describe('choosePrecision', () => {
  it.each([
    ['bf16 on processors that have it', cpu, probe(true), 'bf16'],
    ['f32 on processors that do not', cpu, probe(false, 9), 'f32'],
    ['bf16 on GPUs from 8.0 on', gpu, probe(false, 8), 'bf16'],
    ['fp16 on GPUs with older tensor cores', gpu, probe(true, 7.5), 'fp16'],
    ['f32 on still older GPUs', gpu, probe(true, 6.1), 'f32'],
    ['f32 on a GPU that cannot be asked', gpu, probe(true), 'f32'],
    ['f32 on WebAssembly', wasm, probe(true, 9), 'f32'],
  ] as const)('auto is %s', (_, backend, machine, expected) => {
    expect(choosePrecision('auto', backend, machine)).toBe(expected);
  });

  it.each(['f32', 'bf16', 'fp16'] as const)('leaves %s as it was asked for', (precision) => {
    expect(choosePrecision(precision, cpu, probe(false))).toBe(precision);
  });

  it.each(['bf16', 'fp16'] as const)('refuses %s on WebAssembly', (precision) => {
    expect(() => choosePrecision(precision, wasm)).toThrow(
      `--precision ${precision} needs --backend tensorflow`,
    );
  });
});

describe('processorFeatures', () => {
  it("finds the features in Linux's description", async () => {
    const path = join(await temporaryFolder(), 'cpuinfo');
    writeFileSync(
      path,
      'processor : 0\nflags\t\t: fpu avx2 avx512f avx512_bf16 avx512_bf16_x\nprocessor : 1\n',
    );
    expect(processorFeatures(path)).toEqual(['AVX2', 'AVX-512', 'AVX-512 bf16']);
    writeFileSync(path, 'Features\t: fp asimd bf16\n');
    expect(processorFeatures(path)).toEqual(['NEON', 'bf16']);
    expect(processorFeatures(join(path, 'none'))).toEqual([]);
  });
});
