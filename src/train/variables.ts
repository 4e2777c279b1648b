import type * as tf from '@tensorflow/tfjs-core';
import type { VariableSpec } from '../engine/index.ts';
import type { ParameterMap, ParameterSpec } from '../model/parameters.ts';

/** Kinds of variables that every parameter has, by the prefix of their names; sums only where gradients add up. */
export const VARIABLES = {
  parameter: 'parameter/',
  firstMoment: 'first-moment/',
  secondMoment: 'second-moment/',
  gradientSum: 'gradient-sum/',
} as const;

export type VariableKind = keyof typeof VARIABLES;

/** What an update of the parameters changes. */
export const UPDATED_KINDS = ['parameter', 'firstMoment', 'secondMoment'] as const;

/** Variables of a kind, in the order of the parameters. */
export function variableSpecs(specs: readonly ParameterSpec[], kind: VariableKind): VariableSpec[] {
  return specs.map(({ key, shape }) => ({ name: VARIABLES[kind] + key, shape }));
}

/** Names of the variables of some kinds. */
export function variableNames(specs: readonly ParameterSpec[], kinds: readonly VariableKind[]): string[] {
  return kinds.flatMap((kind) => variableSpecs(specs, kind).map(({ name }) => name));
}

/** Variables of a kind by the parameters' keys. */
export function variablesOf(
  specs: readonly ParameterSpec[],
  kind: VariableKind,
  variables: ReadonlyMap<string, tf.Variable>,
): ParameterMap {
  return new Map(specs.map(({ key }) => [key, variables.get(VARIABLES[kind] + key)!]));
}
