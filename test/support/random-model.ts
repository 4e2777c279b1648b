import type { BertConfig } from '../../src/model/config.ts';
import { initialValues } from '../../src/model/init.ts';
import { parameterSpecs } from '../../src/model/parameters.ts';
import { exportParts } from '../../src/train/session-state.ts';
import type { NamedArray } from '../../src/train/session-types.ts';

/** Parameters of a model that learnt nothing yet, under transformers' names. */
export function randomParameters(model: BertConfig, seed: number): Map<string, NamedArray> {
  const parameters = new Map<string, NamedArray>();
  for (const spec of parameterSpecs(model)) {
    exportParts(parameters, '', spec, initialValues(spec, model, seed));
  }
  return parameters;
}
