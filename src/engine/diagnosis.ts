import { statfs } from 'node:fs/promises';
import os from 'node:os';
import { relative } from 'node:path';
import { messageOf } from '../../pipeline/index.ts';
import { findNativeTensorFlow } from './native.ts';
import { processorFeatures } from './processor.ts';
import { type ProbeResult, probeBackend } from './setup/probe.ts';
import { type RunOptions, runProcess } from './setup/run-process.ts';
import { findCompiler, findPip } from './setup/toolchain.ts';

/** One line about this machine. */
export interface Finding {
  readonly topic: string;
  /** `missing`: training is not possible or slower without it; `optional`: nice to have. */
  readonly state: 'ok' | 'missing' | 'optional';
  readonly text: string;
  /** What to do about it. */
  readonly advice?: string;
}

export interface Diagnosis {
  readonly findings: readonly Finding[];
  /** The backend that training would take, if there is one. */
  readonly backend: 'tensorflow' | 'wasm' | undefined;
}

export interface DiagnosisOptions {
  readonly root: string;
  readonly env: NodeJS.ProcessEnv;
  readonly nodeVersion: string;
  /** Oldest Node that the package supports, `20.19.0`. */
  readonly minNodeVersion: string;
}

/**
 * Looks at everything that training needs. Backends are started in child processes, so that a native library that
 * crashes is a finding and not the end.
 */
export async function diagnose(options: DiagnosisOptions): Promise<Diagnosis> {
  const run: RunOptions = { env: options.env };
  const [backends, ...tools] = await Promise.all([
    backendFindings(options, run),
    npmFinding(run),
    diskFinding(options.root),
    gpuFinding(run),
    compilerFinding(run),
    pythonFinding(run),
  ]);
  const [npm, disk, gpu, compiler, python] = tools;
  const machine = [nodeFinding(options), npm, processorFinding(), memoryFinding(), disk, gpu];
  if (gpu.state === 'ok' && !backends.usesGpu) machine.push(idleGpu);
  const findings = [...machine, ...backends.findings, compiler, python, ...hubFindings(options.env)];
  return { findings, backend: backends.chosen };
}

function nodeFinding({ nodeVersion, minNodeVersion }: DiagnosisOptions): Finding {
  const isEnough = nodeVersion.localeCompare(minNodeVersion, 'en', { numeric: true }) >= 0;
  if (isEnough) return { topic: 'Node', state: 'ok', text: nodeVersion };
  return {
    topic: 'Node',
    state: 'missing',
    text: `${nodeVersion}, expected ${minNodeVersion} or later`,
    advice: 'install a current Node from https://nodejs.org',
  };
}

async function npmFinding(run: RunOptions): Promise<Finding> {
  const result = await runProcess('npm', ['--version'], run);
  if (result.ok) return { topic: 'npm', state: 'ok', text: result.stdout.trim() };
  return { topic: 'npm', state: 'optional', text: `does not run: ${result.failure}` };
}

function processorFinding(): Finding {
  const model = os.cpus()[0]?.model.trim() ?? process.arch;
  const features = processorFeatures();
  const list = features.length === 0 ? '' : `, ${features.join(', ')}`;
  return { topic: 'processor', state: 'ok', text: `${os.availableParallelism()} × ${model}${list}` };
}

function memoryFinding(): Finding {
  const limit = process.constrainedMemory();
  const total = limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem();
  const text = `${gigabytes(total)} GB, ${gigabytes(Math.min(os.freemem(), total))} GB free`;
  if (total >= 4e9) return { topic: 'memory', state: 'ok', text };
  return { topic: 'memory', state: 'missing', text, advice: 'training BERT-small takes about 4 GB' };
}

async function diskFinding(root: string): Promise<Finding> {
  try {
    const { bavail, bsize } = await statfs(root);
    const text = `${gigabytes(bavail * bsize)} GB free in ${root}`;
    if (bavail * bsize >= 20e9) return { topic: 'disk', state: 'ok', text };
    const advice = 'Wikipedia and BookCorpus take about 20 GB as shards; --out puts them elsewhere';
    return { topic: 'disk', state: 'optional', text, advice };
  } catch (error) {
    return { topic: 'disk', state: 'optional', text: messageOf(error) };
  }
}

async function gpuFinding(run: RunOptions): Promise<Finding> {
  const query = ['--query-gpu=name,memory.total,driver_version', '--format=csv,noheader'];
  const result = await runProcess('nvidia-smi', query, run);
  const lines = result.stdout.split('\n').filter((line) => line.trim() !== '');
  if (result.ok && lines.length > 0) return { topic: 'GPU', state: 'ok', text: lines.join('; ') };
  const why = result.failure === 'not found' ? 'no nvidia-smi' : `nvidia-smi: ${result.failure}`;
  return { topic: 'GPU', state: 'optional', text: `no NVIDIA GPU is seen (${why})` };
}

const idleGpu: Finding = {
  topic: 'GPU',
  state: 'optional',
  text: 'no TensorFlow here computes on it',
  advice:
    'npm run setup:tensorflow -- --gpu; where that one leaves it alone, TF_CPP_MIN_LOG_LEVEL=0 npm run train says why',
};

interface BackendFindings {
  readonly findings: readonly Finding[];
  readonly chosen: Diagnosis['backend'];
  readonly usesGpu: boolean;
}

async function backendFindings({ root }: DiagnosisOptions, run: RunOptions): Promise<BackendFindings> {
  const { candidates, absent } = findNativeTensorFlow(root);
  const findings: Finding[] = [];
  let hasTensorFlow = false;
  let usesGpu = false;
  for (const candidate of candidates) {
    const probe = await probeBackend(candidate, run);
    hasTensorFlow ||= probe.works;
    usesGpu ||= probe.works && probe.device === 'GPU';
    const place = relative(root, candidate.bindingFile);
    findings.push(probeFinding('TensorFlow', probe, place, 'npm run setup:tensorflow -- --force'));
  }
  if (!hasTensorFlow) {
    const advice = 'npm run setup:tensorflow makes it; training is several times faster with it';
    findings.push({ topic: 'TensorFlow', state: 'optional', text: absent.join('; '), advice });
  }
  const wasm = await probeBackend('wasm', run);
  findings.push(probeFinding('WebAssembly', wasm, '@tensorflow/tfjs-backend-wasm', 'npm ci'));
  return { findings, chosen: hasTensorFlow ? 'tensorflow' : wasm.works ? 'wasm' : undefined, usesGpu };
}

function probeFinding(topic: string, probe: ProbeResult, place: string, advice: string): Finding {
  if (probe.works) {
    return { topic, state: 'ok', text: `${probe.version} on the ${probe.device} works (${place})` };
  }
  return { topic, state: 'missing', text: `${place} does not work: ${probe.reason}`, advice };
}

async function compilerFinding(run: RunOptions): Promise<Finding> {
  try {
    const { command, version } = await findCompiler(run);
    return { topic: 'compiler', state: 'ok', text: `${command}: ${version}` };
  } catch (error) {
    return { topic: 'compiler', state: 'optional', text: messageOf(error), advice: 'for setup:tensorflow' };
  }
}

async function pythonFinding(run: RunOptions): Promise<Finding> {
  try {
    const { command, version } = await findPip(run);
    return { topic: 'Python', state: 'ok', text: `${command}: ${version.replace(/ from .* \(/, ' (')}` };
  } catch (error) {
    return { topic: 'Python', state: 'optional', text: messageOf(error), advice: 'for setup:tensorflow' };
  }
}

function hubFindings(env: NodeJS.ProcessEnv): readonly Finding[] {
  const token: Finding =
    (env.HF_TOKEN ?? '') === ''
      ? { topic: 'HF_TOKEN', state: 'optional', text: 'not set', advice: 'for gated and private datasets' }
      : { topic: 'HF_TOKEN', state: 'ok', text: 'set' };
  const endpoint = env.HF_ENDPOINT ?? '';
  const text = endpoint === '' ? 'not set: https://huggingface.co' : endpoint;
  return [token, { topic: 'HF_ENDPOINT', state: 'ok', text }];
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1);
}

/** The table that doctor prints; advice stands below its finding. */
export function formatDiagnosis({ findings, backend }: Diagnosis): string {
  const marks = { ok: 'ok', missing: 'MISSING', optional: '-' } as const;
  const topicWidth = Math.max(...findings.map(({ topic }) => topic.length));
  const markWidth = Math.max(...Object.values(marks).map((mark) => mark.length));
  const lines = findings.flatMap(({ topic, state, text, advice }) => {
    const line = `${topic.padEnd(topicWidth)}  ${marks[state].padEnd(markWidth)}  ${text}`;
    return advice === undefined ? [line] : [line, `${' '.repeat(topicWidth + markWidth + 4)}→ ${advice}`];
  });
  const verdict =
    backend === undefined
      ? 'Training is not possible.'
      : `Training is possible; --backend auto takes ${backend}.`;
  return [...lines, '', verdict].join('\n');
}
