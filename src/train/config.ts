import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { messageOf, parseDataSpecs, TacoError } from '../../pipeline/index.ts';
import { defaultRecipe, isRecipeName, recipeNames, recipes } from './recipes.ts';
import {
  flagNameOf,
  type SettingName,
  type SettingsLayer,
  settingNames,
  settingsSchema,
  type TrainConfig,
} from './settings.ts';

/** Settings spelt like flags, `{ "max-steps": 1000 }`; not checked yet. */
export type RawSettings = Readonly<Record<string, unknown>>;

export interface ConfigSources {
  /** `--config`: a recipe's name or a JSON file. */
  readonly config?: string | undefined;
  /** What was given on the command line; undefined values count as not given. */
  readonly flags: RawSettings;
  /** Reads a JSON file; injected in tests. */
  readonly readText?: (path: string) => string;
}

/** Settings that only mean something with the contrastive loss. */
const tacoSettings = [
  'negK',
  'posWindow',
  'windowRule',
  'tau',
  'tcWeight',
  'variant',
  'excludeSpecial',
] as const satisfies readonly SettingName[];

/**
 * The settings of a run: defaults, overridden by `--config`, overridden by flags; checked and frozen.
 * @throws TacoError `bad-config` in one line that names the setting, what was got and what was expected
 */
export function resolveConfig({ config, flags, readText = readUtf8 }: ConfigSources): TrainConfig {
  const layers: SettingsLayer[] = [recipes[defaultRecipe]];
  if (config !== undefined) layers.push(loadLayer(config, readText));
  const given = layerOf(flags, 'the command line', (name) => `--${name}`);
  const settings = [...layers, given].reduce(overlay, {});
  // All parts are checked, so only a setting that is nowhere could fail here, and the default recipe has all.
  const resolved = settingsSchema.parse({ ...settings, out: settings.out ?? defaultOut(settings) });
  crossCheck(resolved, given);
  return Object.freeze(resolved);
}

/** One layer over another. A model named by a layer replaces a configuration file of the layers below. */
function overlay(below: SettingsLayer, above: SettingsLayer): SettingsLayer {
  const given = Object.fromEntries(Object.entries(above).filter(([, value]) => value !== undefined));
  const merged: SettingsLayer = { ...below, ...given };
  return above.model !== undefined && above.bertConfig === undefined
    ? { ...merged, bertConfig: undefined }
    : merged;
}

function defaultOut(settings: SettingsLayer): string {
  const model =
    settings.bertConfig === undefined ? String(settings.model) : basename(settings.bertConfig, '.json');
  return `runs/${settings.mode === 'mlm' ? 'bert' : String(settings.mode)}-${model}`;
}

function crossCheck(config: TrainConfig, given: SettingsLayer): void {
  parseDataSpecs(config.data);
  if (config.warmupSteps > config.maxSteps) {
    throw badConfig(
      `--warmup-steps is ${config.warmupSteps}, expected at most --max-steps, which is ${config.maxSteps}`,
    );
  }
  if (config.mode === 'mlm') {
    const useless = tacoSettings.find((name) => given[name] !== undefined);
    if (useless === undefined) return;
    throw badConfig(
      `--${flagNameOf(useless)} has no effect with --mode mlm; leave it out, or use --mode taco`,
    );
  }
  if (config.batchSize < 2) {
    throw badConfig(
      `--batch-size is ${config.batchSize}, expected at least 2 with --mode taco: negatives come from other rows of the batch`,
    );
  }
  if (config.windowRule === 'centered' && config.posWindow % 2 === 0) {
    throw badConfig(
      `--pos-window is ${config.posWindow}, expected an odd number with --window-rule centered; try ${config.posWindow + 1}`,
    );
  }
}

function loadLayer(reference: string, readText: (path: string) => string): SettingsLayer {
  if (isRecipeName(reference)) return recipes[reference];
  let text: string;
  try {
    text = readText(reference);
  } catch (error) {
    throw badConfig(
      `--config is "${reference}", expected one of ${recipeNames.join(', ')} or a JSON file that can be read (${messageOf(error)})`,
      error,
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badConfig(`${reference} is not JSON: ${messageOf(error)}`, error);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badConfig(`${reference} is not a JSON object; expected settings such as {"max-steps": 1000}`);
  }
  return layerOf(value as RawSettings, reference, (name) => `"${name}" in ${reference}`);
}

/**
 * Checks settings one by one.
 * @param place where they are from
 * @param called how messages call one of them
 */
function layerOf(entries: RawSettings, place: string, called: (name: string) => string): SettingsLayer {
  const byFlag = new Map(settingNames.map((name) => [flagNameOf(name), name]));
  const layer: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(entries)) {
    if (value === undefined) continue;
    const name = byFlag.get(key);
    if (name === undefined) {
      throw badConfig(
        `${place} has the unknown setting "${key}"; expected, spelt like flags: ${[...byFlag.keys()].join(', ')}`,
      );
    }
    const parsed = settingsSchema.unwrap().shape[name].safeParse(value);
    if (!parsed.success) {
      throw badConfig(
        `${called(key)} is ${JSON.stringify(value)}, expected ${parsed.error.issues[0]!.message}`,
      );
    }
    layer[name] = parsed.data;
  }
  if ('model' in layer && 'bertConfig' in layer) {
    throw badConfig(`${called('model')} and ${called('bert-config')} are both given, expected one of them`);
  }
  return layer;
}

function badConfig(message: string, cause?: unknown): TacoError {
  return new TacoError(message, { code: 'bad-config', stage: 'train', cause });
}

function readUtf8(path: string): string {
  return readFileSync(path, 'utf8');
}
