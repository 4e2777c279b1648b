import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { AppendFile } from '../../../src/train/append-file.ts';
import { temporaryFolder } from '../../support/folders.ts';

const text = (path: string): string => readFileSync(path, 'utf8');
const record = (name: string): Uint8Array => Buffer.from(`${name}\n`);

describe('AppendFile', () => {
  it('is cut where a checkpoint was, torn records included, and goes on from there', async () => {
    const path = join(await temporaryFolder(), 'new', 'folder', 'file');
    const first = await AppendFile.open(path, 0);
    for (const name of ['one', 'two']) await first.file.append(record(name));
    const position = await first.file.sync();
    await first.file.append(record('three'));
    await first.file.close();
    appendFileSync(path, 'fo');

    const second = await AppendFile.open(path, position);
    expect(second.missingBytes).toBe(0);
    expect(text(path)).toBe('one\ntwo\n');
    await second.file.append(record('3'));
    expect(await second.file.sync()).toBe(position + 2);
    await second.file.close();
    expect(text(path)).toBe('one\ntwo\n3\n');
  });

  it('begins anew at position 0', async () => {
    const path = join(await temporaryFolder(), 'file');
    writeFileSync(path, 'something older\n');
    const { file } = await AppendFile.open(path, 0);
    await file.append(record('one'));
    await file.close();
    expect(text(path)).toBe('one\n');
  });

  it('says when bytes are missing', async () => {
    const path = join(await temporaryFolder(), 'file');
    writeFileSync(path, 'short');
    const { file, missingBytes } = await AppendFile.open(path, 300);
    await file.close();
    expect(missingBytes).toBe(295);
  });

  it('keeps what the disk refuses, and writes it whole and in order when there is room again', async () => {
    const path = join(await temporaryFolder(), 'file');
    const { file } = await AppendFile.open(path, 0);
    await file.append(record('one'));
    const refusal = await refuseWrites();
    await expect(file.append(record('two'))).rejects.toMatchObject({ code: 'disk', path });
    await expect(file.append(record('three'))).rejects.toMatchObject({ code: 'disk' });
    await expect(file.sync()).rejects.toMatchObject({ code: 'disk' });
    expect(text(path)).toBe('one\nt');
    refusal.end();
    await file.append(record('four'));
    await file.close();
    expect(text(path)).toBe('one\ntwo\nthree\nfour\n');
  });
});

/** Every file takes one byte more of a write and then none, as on a disk that becomes full. */
async function refuseWrites(): Promise<{ readonly end: () => void }> {
  const { open, rm } = await import('node:fs/promises');
  const probe = join(await temporaryFolder(), 'probe');
  const handle = await open(probe, 'w');
  const prototype = Object.getPrototypeOf(handle) as { write: (...args: unknown[]) => Promise<unknown> };
  await handle.close();
  await rm(probe);
  const write = prototype.write;
  let isFull = false;
  const spy = vi.spyOn(prototype, 'write').mockImplementation(function (this: unknown, ...args: unknown[]) {
    const [bytes, offset, , position] = args;
    if (isFull) return Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' }));
    isFull = true;
    return write.call(this, bytes, offset, 1, position);
  });
  return {
    end: () => {
      spy.mockRestore();
    },
  };
}
