import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { TacoError } from '../../../pipeline/index.ts';
import { locateLibrary, openLibrary, type TensorFlowLibrary } from './library.ts';
import { complaintOf, type RunOptions, runProcess } from './run-process.ts';
import type { Tool } from './toolchain.ts';
import { extractZip, readZipText } from './archives.ts';

/** The newest TensorFlow whose C API the binding is known to compile and run with. */
export const pipVersion = '2.21.0';

/** `tensorflow-cpu` is half the size; only Linux and Windows on x86-64 have it. */
export function pipPackage(gpu: boolean): string {
  return !gpu && process.platform === 'linux' && process.arch === 'x64' ? 'tensorflow-cpu' : 'tensorflow';
}

/** Tags of wheels that fit this machine whatever Python runs pip: the library inside does not use Python. */
function platformTags(): readonly string[] {
  if (process.platform !== 'linux' || process.arch !== 'x64') return [];
  return ['--python-version', '3.11', '--implementation', 'cp', '--abi', 'cp311'].concat(
    ['manylinux_2_27_x86_64', 'manylinux2014_x86_64'].flatMap((tag) => ['--platform', tag]),
  );
}

/**
 * Downloads TensorFlow's wheel by pip and unpacks the library; for GPUs also NVIDIA's wheels that it names.
 * Nothing is installed into Python.
 * @throws TacoError `network` when pip fails
 */
export async function libraryFromPip(
  pip: Tool,
  gpu: boolean,
  scratch: string,
  log: (line: string) => void,
  options: RunOptions,
): Promise<TensorFlowLibrary> {
  const name = pipPackage(gpu);
  const unpacked = join(scratch, 'wheel');
  log(`downloading ${name} ${pipVersion} by ${pip.command} -m pip (about ${gpu ? 570 : 270} MB)`);
  const wheel = await download(pip, `${name}==${pipVersion}`, scratch, options);
  log('unpacking libtensorflow');
  const library = await openLibrary(wheel, unpacked, options.signal);
  const requirements = gpu ? await cudaRequirements(wheel) : [];
  await rm(wheel);
  for (const requirement of requirements) {
    log(`downloading ${requirement}`);
    const part = await download(pip, requirement, scratch, options);
    await extractZip(part, unpacked, isCudaLibrary, options.signal);
    await rm(part);
  }
  return gpu ? locateLibrary(unpacked, library.origin) : library;
}

function isCudaLibrary(path: string): boolean {
  return path.startsWith('nvidia/') && !path.includes('/include/');
}

/** The `nvidia-*` packages of the extra `and-cuda`, from the wheel's METADATA. */
async function cudaRequirements(wheel: string): Promise<readonly string[]> {
  const text = (await readZipText(wheel, '.dist-info/METADATA')) ?? '';
  return Array.from(
    text.matchAll(/^Requires-Dist: (nvidia-[^;]+?)\s*;.*extra == ["']and-cuda["']/gm),
    (match) => match[1]!,
  );
}

async function download(
  pip: Tool,
  requirement: string,
  scratch: string,
  options: RunOptions,
): Promise<string> {
  const folder = join(scratch, 'download');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const command = ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', folder];
  const tags = platformTags();
  const attempts = tags.length === 0 ? [[]] : [tags, []];
  let complaint = '';
  for (const attempt of attempts) {
    const result = await runProcess(pip.command, [...command, ...attempt, requirement], options);
    const wheel = (await readdir(folder)).find((name) => name.endsWith('.whl'));
    if (result.ok && wheel !== undefined) return join(folder, wheel);
    complaint = complaintOf(result);
  }
  throw new TacoError(`pip cannot download ${requirement}: ${complaint}`, {
    code: 'network',
    stage: 'setup',
  });
}
