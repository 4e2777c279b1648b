import { existsSync, readFileSync } from 'node:fs';

/** Processor features that decide the speed of matrix products, by the kernel's names and as people know them. */
const knownFeatures = [
  ['avx2', 'AVX2'],
  ['avx512f', 'AVX-512'],
  ['avx512_bf16', 'AVX-512 bf16'],
  ['amx_bf16', 'AMX bf16'],
  ['asimd', 'NEON'],
  ['bf16', 'bf16'],
] as const;

export type ProcessorFeature = (typeof knownFeatures)[number][1];

/**
 * Those of this machine's processor; none where the system does not say.
 * @param path Linux's description of its processors
 */
export function processorFeatures(path = '/proc/cpuinfo'): readonly ProcessorFeature[] {
  if (!existsSync(path)) return [];
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync(path, 'utf8'))?.[1] ?? '';
  const flags = new Set(line.split(' '));
  return knownFeatures.filter(([flag]) => flags.has(flag)).map(([, name]) => name);
}
