import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TacoError } from '../../pipeline/index.ts';
import { diagnose, formatDiagnosis } from '../engine/diagnosis.ts';
import { projectRoot } from '../engine/native.ts';
import { runCommand } from './command.ts';

await runCommand(
  {
    usage: 'npm run doctor --',
    summary:
      'Reports what this machine has, what is missing and how to get it. Fails when training is not possible.',
    flags: {},
  },
  async () => {
    const { engines } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as {
      readonly engines: { readonly node: string };
    };
    const diagnosis = await diagnose({
      root: projectRoot,
      env: process.env,
      nodeVersion: process.versions.node,
      minNodeVersion: engines.node.replace(/^>=\s*/, ''),
    });
    process.stdout.write(`${formatDiagnosis(diagnosis)}\n`);
    if (diagnosis.backend === undefined) {
      throw new TacoError('no tensor backend works: see MISSING above', { code: 'backend', stage: 'doctor' });
    }
  },
);
