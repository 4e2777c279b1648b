import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/poisoned-memory.ts'],
    pool: 'forks',
    // TensorFlow and the WebAssembly heap want a process of their own; two cores are the reference machine.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
