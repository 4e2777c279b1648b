import { projectRoot } from '../engine/native.ts';
import { setupTensorFlow } from '../engine/setup/setup-tensorflow.ts';
import { runCommand } from './command.ts';

await runCommand(
  {
    usage: 'npm run setup:tensorflow --',
    summary:
      'Makes the native TensorFlow backend in cache/tensorflow, from the newest source it can reach: a given libtensorflow, the pip package, or the download of the npm package.',
    flags: {
      from: {
        type: 'string',
        placeholder: 'path',
        help: 'a libtensorflow to use: a folder, a .tar.gz of the C library, or a .whl of the pip package',
      },
      gpu: {
        type: 'boolean',
        help: 'build for NVIDIA GPUs, or with --no-gpu for CPUs (default: whether nvidia-smi sees one)',
      },
      force: { type: 'boolean', help: 'build again although there is one' },
    },
    examples: [
      'npm run setup:tensorflow',
      'npm run setup:tensorflow -- --from libtensorflow-cpu-linux-x86_64.tar.gz',
    ],
  },
  async ({ flags, signal }) => {
    const { folder, record, device, existed } = await setupTensorFlow({
      root: projectRoot,
      log: (line) => process.stdout.write(`${line}\n`),
      signal,
      ...flags,
    });
    const state = existed ? 'is already there and works' : 'is ready';
    process.stdout.write(`TensorFlow ${record.tensorflowVersion} (${device}) ${state}: ${folder}\n`);
  },
);
