import { TacoError } from '../../pipeline/index.ts';
import { joinParts, type ParameterSpec, splitParts } from '../model/parameters.ts';
import type { NamedArray } from './session-types.ts';

/** Adds the named parts of a tensor to a state, every name with a prefix. */
export function exportParts(
  state: Map<string, NamedArray>,
  prefix: string,
  spec: ParameterSpec,
  values: Float32Array<ArrayBuffer>,
): void {
  for (const [index, part] of splitParts(spec, values).entries()) {
    const { name, shape } = spec.parts[index]!;
    state.set(prefix + name, { shape, values: part });
  }
}

/**
 * Values of a tensor from its named parts in a state.
 * @throws TacoError `mismatch` when a part is missing or of another shape
 */
export function importParts(
  state: ReadonlyMap<string, NamedArray>,
  prefix: string,
  spec: ParameterSpec,
): Float32Array<ArrayBuffer> {
  const parts = spec.parts.map(({ name, shape }) => {
    const entry = entryOf(state, prefix + name);
    if (entry.shape.join() !== shape.join()) {
      throw new TacoError(
        `checkpoint holds "${prefix + name}" as [${entry.shape.join(', ')}], the model has [${shape.join(', ')}]: take the model's size of that checkpoint, or another folder`,
        { code: 'mismatch', stage: 'train' },
      );
    }
    return entry.values;
  });
  return joinParts(spec, parts);
}

/** @throws TacoError `mismatch` when the state lacks the name */
export function entryOf(state: ReadonlyMap<string, NamedArray>, name: string): NamedArray {
  const entry = state.get(name);
  if (entry === undefined) {
    throw new TacoError(
      `checkpoint lacks "${name}": it belongs to another model, or is not a whole checkpoint`,
      { code: 'mismatch', stage: 'train' },
    );
  }
  return entry;
}
