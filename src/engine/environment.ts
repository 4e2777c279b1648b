import { availableParallelism } from 'node:os';
import { join } from 'node:path';

export interface EnvironmentOptions {
  /** Where compiled GPU code is kept from run to run: `cache` of the checkout. */
  readonly cacheFolder: string;
  /** Let XLA compile what it can of every graph. */
  readonly xla: boolean;
}

/**
 * Sets what TensorFlow reads from the environment when it is loaded: its binding for Node has no other way to be told.
 * Whoever set a variable before has the last word.
 */
export function prepareEnvironment(env: NodeJS.ProcessEnv, { cacheFolder, xla }: EnvironmentOptions): void {
  const defaults = {
    // Errors only: the rest is start-up chatter on standard error.
    TF_CPP_MIN_LOG_LEVEL: '2',
    // Otherwise TensorFlow takes all memory of every GPU at once.
    TF_FORCE_GPU_ALLOW_GROWTH: 'true',
    // TensorFlow counts the machine's processors, which may be more than this process has.
    TF_NUM_INTRAOP_THREADS: String(availableParallelism()),
    // Kernels that the driver compiles for a GPU newer than the library: minutes once, not at every start.
    CUDA_CACHE_PATH: join(cacheFolder, 'cuda'),
    CUDA_CACHE_MAXSIZE: String(2 ** 32 - 1),
    ...(xla ? { TF_XLA_FLAGS: '--tf_xla_auto_jit=2 --tf_xla_cpu_global_jit' } : {}),
  };
  for (const [name, value] of Object.entries(defaults)) env[name] ??= value;
}
