import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { prepareEnvironment } from '../../../src/engine/environment.ts';

describe('prepareEnvironment', () => {
  it('tells TensorFlow what this process may use', () => {
    const env: NodeJS.ProcessEnv = {};
    prepareEnvironment(env, { cacheFolder: '/cache', xla: false });
    expect(env).toEqual({
      TF_CPP_MIN_LOG_LEVEL: '2',
      TF_FORCE_GPU_ALLOW_GROWTH: 'true',
      TF_NUM_INTRAOP_THREADS: String(availableParallelism()),
      CUDA_CACHE_PATH: '/cache/cuda',
      CUDA_CACHE_MAXSIZE: '4294967295',
    });
  });

  it('turns XLA on', () => {
    const env: NodeJS.ProcessEnv = {};
    prepareEnvironment(env, { cacheFolder: '/cache', xla: true });
    expect(env.TF_XLA_FLAGS).toContain('--tf_xla_auto_jit=2');
  });

  it('leaves alone what was set', () => {
    const env: NodeJS.ProcessEnv = { TF_NUM_INTRAOP_THREADS: '7', TF_XLA_FLAGS: '' };
    prepareEnvironment(env, { cacheFolder: '/cache', xla: true });
    expect(env).toMatchObject({ TF_NUM_INTRAOP_THREADS: '7', TF_XLA_FLAGS: '' });
  });
});
