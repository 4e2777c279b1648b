import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../../src/train/safetensors.ts';
import type { NamedArray } from '../../../src/train/session-types.ts';
import { findPython } from '../../support/python.ts';
import { temporaryFolder } from '../../support/folders.ts';

function tensor(shape: readonly number[], first = 0): NamedArray {
  const size = shape.reduce((product, length) => product * length, 1);
  return { shape, values: Float32Array.from({ length: size }, (_, index) => first + index / 7) };
}

const sample = new Map([
  ['b.weight', tensor([2, 3], 10)],
  ['a.bias', tensor([5], -2)],
  ['scalar', tensor([], 0.25)],
  ['empty', tensor([0, 4])],
]);

describe('safetensors', () => {
  it('reads back what it wrote', async () => {
    const path = join(await temporaryFolder(), 'x.safetensors');
    await writeSafetensors(path, sample);
    const read = await readSafetensors(path);
    expect([...read.keys()]).toEqual(['a.bias', 'b.weight', 'empty', 'scalar']);
    for (const [name, expected] of sample) expect(read.get(name)).toEqual(expected);
  });

  it('keeps every bit pattern of float32', async () => {
    const path = join(await temporaryFolder(), 'x.safetensors');
    await fc.assert(
      fc.asyncProperty(fc.uint32Array({ maxLength: 50 }), async (words) => {
        const values = new Float32Array(new Uint32Array(words).buffer);
        await writeSafetensors(path, new Map([['x', { shape: [values.length], values }]]));
        const read = (await readSafetensors(path)).get('x')!;
        expect([...new Uint32Array(read.values.buffer)]).toEqual([...words]);
      }),
      { numRuns: 20 },
    );
  });

  it('has the layout of the format: length, JSON header, numbers aligned to 8 bytes', async () => {
    const path = join(await temporaryFolder(), 'x.safetensors');
    const { bytes } = await writeSafetensors(path, sample);
    const file = readFileSync(path);
    expect(file.byteLength).toBe(bytes);
    const headerBytes = Number(file.readBigUInt64LE());
    expect(headerBytes % 8).toBe(0);
    const header = JSON.parse(file.subarray(8, 8 + headerBytes).toString()) as Record<string, unknown>;
    expect(header).toMatchObject({
      __metadata__: { format: 'pt' },
      'b.weight': { dtype: 'F32', shape: [2, 3], data_offsets: [20, 44] },
    });
  });

  it('refuses values that are not of the shape', async () => {
    const path = join(await temporaryFolder(), 'x.safetensors');
    const wrong = new Map([['x', { shape: [3], values: new Float32Array(2) }]]);
    await expect(writeSafetensors(path, wrong)).rejects.toThrow('x has 2 values, its shape [3] holds others');
  });

  it('notices every truncation', async () => {
    const folder = await temporaryFolder();
    const path = join(folder, 'x.safetensors');
    await writeSafetensors(path, sample);
    const whole = readFileSync(path);
    for (let length = 0; length < whole.byteLength; length += 9) {
      writeFileSync(path, whole.subarray(0, length));
      await expect(readSafetensors(path)).rejects.toMatchObject({ code: 'corrupt' });
    }
  });

  it('says what is wrong with a header', async () => {
    const path = join(await temporaryFolder(), 'x.safetensors');
    const write = (header: string): void => {
      const length = Buffer.alloc(8);
      length.writeBigUInt64LE(BigInt(header.length));
      writeFileSync(path, Buffer.concat([length, Buffer.from(header), Buffer.alloc(16)]));
    };
    write('not json');
    await expect(readSafetensors(path)).rejects.toThrow('its header is not JSON');
    write('{"x":{"dtype":"I64","shape":[2],"data_offsets":[0,16]}}');
    await expect(readSafetensors(path)).rejects.toThrow('tensor "x" is I64, expected F32, F16 or BF16');
    write('{"x":{"dtype":"F32","shape":[8],"data_offsets":[0,16]}}');
    await expect(readSafetensors(path)).rejects.toThrow('which its shape or the file denies');
    write('{"x":{"dtype":"F32","shape":[8],"data_offsets":[0,32]}}');
    await expect(readSafetensors(path)).rejects.toThrow('which its shape or the file denies');
  });

  it('is read by Python', async ({ skip }) => {
    const python = findPython(['safetensors', 'numpy']);
    if (python === undefined) return skip('no Python with safetensors and numpy');
    const path = join(await temporaryFolder(), 'x.safetensors');
    await writeSafetensors(path, sample);
    const script = `
import json, sys
from safetensors.numpy import load_file
from safetensors import safe_open
tensors = load_file(sys.argv[1])
with safe_open(sys.argv[1], 'np') as f: metadata = f.metadata()
print(json.dumps({'metadata': metadata, 'tensors': {k: [list(v.shape), str(v.dtype), v.astype('float64').ravel().tolist()] for k, v in tensors.items()}}))`;
    expect(JSON.parse(execFileSync(python, ['-c', script, path], { encoding: 'utf8' }))).toEqual({
      metadata: { format: 'pt' },
      tensors: Object.fromEntries(
        [...sample].map(([name, { shape, values }]) => [name, [[...shape], 'float32', [...values]]]),
      ),
    });
  });
});
