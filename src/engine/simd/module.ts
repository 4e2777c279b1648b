import { assemble } from '../../../pipeline/index.ts';
import { adamW, addTo, dropout, gelu, geluGradient, scale, sumOfSquares } from './elementwise.ts';
import { gatheredDots, gatheredSum } from './gathered.ts';
import { layerNorm, layerNormGradient } from './layer-norm.ts';
import { copyRows, multiply, multiplyStrips, packPanels, packStrips, transpose } from './matrix.ts';
import { columnSums, exponentials, rowMax, softmaxGradientRows, softmaxRows } from './rows.ts';

const functions = [
  adamW,
  addTo,
  columnSums,
  copyRows,
  dropout,
  exponentials,
  gatheredDots,
  gatheredSum,
  gelu,
  geluGradient,
  layerNorm,
  layerNormGradient,
  multiply,
  multiplyStrips,
  packPanels,
  packStrips,
  rowMax,
  scale,
  softmaxGradientRows,
  softmaxRows,
  sumOfSquares,
  transpose,
] as const;

type FunctionName = (typeof functions)[number]['name'];
/** Arguments are addresses, sizes and numbers as the definition of each function lists them. */
type SimdFunction = (...args: readonly number[]) => number;

/** The vector functions on the memory they were loaded for. */
export type SimdFunctions = Readonly<Record<FunctionName, SimdFunction>>;

const loaded = new WeakMap<WebAssembly.Memory, SimdFunctions>();

/** Compiles the functions for a memory, once. Takes a few milliseconds. */
export function simdFunctions(memory: WebAssembly.Memory): SimdFunctions {
  const present = loaded.get(memory);
  if (present !== undefined) return present;
  const module = new WebAssembly.Module(assemble(functions));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const made = exports as SimdFunctions;
  loaded.set(memory, made);
  return made;
}
