import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Diagnosis, diagnose, type Finding, formatDiagnosis } from '../../../src/engine/diagnosis.ts';
import { temporaryFolder } from '../../support/folders.ts';

function finding({ findings }: Diagnosis, topic: string): Finding {
  const found = findings.find((each) => each.topic === topic);
  if (found === undefined) throw new Error(`no finding about ${topic}`);
  return found;
}

describe('diagnose', () => {
  it('finds a bare machine good enough, says what is missing, and keeps the token to itself', async () => {
    const root = await temporaryFolder();
    const diagnosis = await diagnose({
      root,
      env: { PATH: root, HF_TOKEN: 'hf_secret', HF_ENDPOINT: 'http://localhost:1' },
      nodeVersion: '20.19.0',
      minNodeVersion: '20.19.0',
    });
    expect(diagnosis.backend).toBe('wasm');
    expect(finding(diagnosis, 'WebAssembly')).toMatchObject({ state: 'ok' });
    expect(finding(diagnosis, 'TensorFlow')).toMatchObject({
      state: 'optional',
      advice: expect.stringContaining('npm run setup:tensorflow') as string,
    });
    for (const topic of ['npm', 'GPU', 'compiler', 'Python']) {
      expect(finding(diagnosis, topic).state).toBe('optional');
    }
    const report = formatDiagnosis(diagnosis);
    expect(report).toContain('http://localhost:1');
    expect(report).not.toContain('secret');
    expect(report).toMatch(/Training is possible; --backend auto takes wasm\.$/);
  });

  it.skipIf(process.platform === 'win32')('tells of a GPU that no TensorFlow uses', async () => {
    const root = await temporaryFolder();
    const program = join(root, 'nvidia-smi');
    await writeFile(program, '#!/bin/sh\necho "NVIDIA H100, 81559 MiB, 550.54"\n');
    await chmod(program, 0o755);
    const { findings } = await diagnose({
      root,
      env: { PATH: root },
      nodeVersion: '22.0.0',
      minNodeVersion: '20.19.0',
    });
    const gpu = findings.filter(({ topic }) => topic === 'GPU');
    expect(gpu).toMatchObject([
      { state: 'ok', text: 'NVIDIA H100, 81559 MiB, 550.54' },
      { state: 'optional', advice: expect.stringContaining('setup:tensorflow -- --gpu') as string },
    ]);
  });

  it('outlives a native library that does not load, and names it', async () => {
    const root = await temporaryFolder();
    const binding = join(root, 'node_modules/@tensorflow/tfjs-node/lib/napi-v8/tfjs_binding.node');
    await mkdir(dirname(binding), { recursive: true });
    await writeFile(binding, 'not a library');
    const folder = join(root, 'node_modules/@tensorflow/tfjs-node');
    await writeFile(join(folder, 'package.json'), '{"version":"4.22.0"}');
    const diagnosis = await diagnose({
      root,
      env: { PATH: root },
      nodeVersion: '18.0.0',
      minNodeVersion: '20.19.0',
    });
    const broken = diagnosis.findings.find(
      ({ topic, state }) => topic === 'TensorFlow' && state === 'missing',
    );
    expect(broken?.text).toContain('tfjs_binding.node does not work: ');
    expect(diagnosis.backend).toBe('wasm');
    expect(finding(diagnosis, 'Node')).toMatchObject({
      state: 'missing',
      text: '18.0.0, expected 20.19.0 or later',
    });
  });
});

describe('formatDiagnosis', () => {
  it('puts advice below its finding and ends with the verdict', () => {
    const report = formatDiagnosis({
      findings: [
        { topic: 'Node', state: 'ok', text: '20.19.0' },
        { topic: 'WebAssembly', state: 'missing', text: 'does not work', advice: 'npm ci' },
      ],
      backend: undefined,
    });
    expect(report).toBe(
      [
        'Node         ok       20.19.0',
        'WebAssembly  MISSING  does not work',
        '                      → npm ci',
        '',
        'Training is not possible.',
      ].join('\n'),
    );
  });
});
