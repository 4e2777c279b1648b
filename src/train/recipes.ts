import type { SettingsLayer } from './settings.ts';

/**
 * What all recipes share: the values of the original's README and scripts, and ours where the original has no
 * such setting (evaluation, rotation, seed, backend).
 *
 * Batches are those of the README's call, 128 rows times 4 accumulated. The original meant that per GPU.
 */
const shared = {
  data: ['cache/datasets/wiki-books-256'],
  batchSize: 128,
  gradAccum: 4,
  lr: 1e-4,
  weightDecay: 0.01,
  maxGradNorm: 1,
  mlmProbability: 0.15,
  negK: 50,
  posWindow: 5,
  windowRule: 'readme',
  tau: 0.07,
  tcWeight: 1,
  variant: 'all',
  excludeSpecial: false,
  saveTotalLimit: 3,
  evalSteps: 1000,
  evalRows: 2048,
  seed: 42,
  backend: 'auto',
  precision: 'auto',
  xla: false,
} as const satisfies SettingsLayer;

/** Defaults of `train_small.sh`. */
const small = { model: 'small', maxSteps: 250_000, warmupSteps: 2_500, saveSteps: 2_500 } as const;

/** Defaults of `train_base.sh`. */
const base = { model: 'base', maxSteps: 500_000, warmupSteps: 10_000, saveSteps: 10_000 } as const;

/** The original's runs by name: complete settings but for the output folder, which is named after the run. */
export const recipes = {
  'bert-small': { ...shared, ...small, mode: 'mlm' },
  'taco-small': { ...shared, ...small, mode: 'taco' },
  'bert-base': { ...shared, ...base, mode: 'mlm' },
  'taco-base': { ...shared, ...base, mode: 'taco' },
} as const satisfies Readonly<Record<string, SettingsLayer>>;

export type RecipeName = keyof typeof recipes;

export const recipeNames = Object.keys(recipes) as readonly RecipeName[];

/** The recipe that everything not given is taken from. */
export const defaultRecipe: RecipeName = 'taco-small';

export function isRecipeName(name: string): name is RecipeName {
  return Object.hasOwn(recipes, name);
}
