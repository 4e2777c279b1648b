import {
  describeMaking,
  describeSources,
  describeTotals,
  exact,
  factTable,
  type Manifest,
} from '../../pipeline/index.ts';
import type { BertConfig } from '../model/config.ts';
import { countParameters } from '../model/parameters.ts';
import type { CheckpointState } from '../train/checkpoint-state.ts';
import type { MetricsLine, ValidationLine } from '../train/metrics.ts';

/** What a model's page tells. */
export interface CardFacts {
  /** Name of the model, as a title. */
  readonly title: string;
  readonly config: BertConfig;
  readonly maskToken: string;
  /** sha256 of its weights. */
  readonly weightsSha256: string;
  /** Of the run that trained it; undefined for a model from elsewhere. */
  readonly state: CheckpointState | undefined;
  /** Where a model from elsewhere came from. */
  readonly reference: string;
  /** Of the run, up to the checkpoint. */
  readonly metrics: readonly MetricsLine[];
  /** Manifests of the datasets that were found, by fingerprint. */
  readonly manifests: ReadonlyMap<string, Manifest>;
  /** File with the curves. */
  readonly plot: string | undefined;
  readonly hasOnnx: boolean;
}

/** A line of the card that says which weights it describes. */
export function cardMark(weightsSha256: string): string {
  return `<!-- model: ${weightsSha256} -->`;
}

/** Evaluations that the card shows, the last ones. */
const MAX_EVALUATIONS = 8;

/** Page of an exported model on the Hub: data, settings, curves, scores. The license is for the owner to state. */
export function modelCard(facts: CardFacts): string {
  const { title, weightsSha256, state, plot } = facts;
  const lines = [
    '---',
    'license: other',
    'library_name: transformers',
    'pipeline_tag: fill-mask',
    `mask_token: ${JSON.stringify(facts.maskToken)}`,
    'tags:',
    '- bert',
    '- masked-language-modeling',
    ...(isTaco(state) ? ['- taco'] : []),
    '- taco-pretraining',
    ...(facts.hasOnnx ? ['- onnx', '- transformers.js'] : []),
    ...datasetTags(state),
    '---',
    cardMark(weightsSha256),
    '',
    `# ${title}`,
    '',
    introduction(facts),
    '',
    '## Use',
    '',
    ...usage(facts),
    ...(state === undefined ? [] : ['', '## Data', '', ...data(state, facts.manifests)]),
    ...(state === undefined ? [] : ['', '## Settings', '', ...settings(state)]),
    ...(plot === undefined ? [] : ['', '## Curves', '', `![Losses of training](${plot})`]),
    ...scores(facts),
  ];
  return `${lines.join('\n')}\n`;
}

function isTaco(state: CheckpointState | undefined): boolean {
  return state?.run.settings.mode === 'taco';
}

/** Datasets of the Hub, which its pages link to. */
function datasetTags(state: CheckpointState | undefined): readonly string[] {
  const names = (state?.run.data.datasets ?? []).flatMap(
    ({ reference }) => /^hub:([^@]+)/.exec(reference)?.[1] ?? [],
  );
  return names.length === 0 ? [] : ['datasets:', ...names.map((name) => `- ${name}`)];
}

function introduction({ config, state, reference }: CardFacts): string {
  const shape = `${config.numLayers} layers, ${config.hiddenSize} wide, ${config.numHeads} heads, ${exact(countParameters(config))} parameters`;
  if (state === undefined) return `BERT of ${shape}, from \`${reference}\`.`;
  const objective = isTaco(state)
    ? 'with masked-language modelling and the token-level contrastive loss of [TACO](https://aclanthology.org/2022.acl-long.193/)'
    : 'with masked-language modelling';
  const { step, numTokens } = state.progress;
  return `BERT of ${shape}, pretrained ${objective} in ${exact(step)} updates on ${exact(numTokens)} tokens. The license is for its owner to state, in the head of this page.`;
}

function usage({ hasOnnx, maskToken }: CardFacts): readonly string[] {
  const sentence = `Paris is the ${maskToken} of France.`;
  const python = [
    '```python',
    'from transformers import pipeline',
    'fill = pipeline("fill-mask", model=name)   # the name of this repository, or the folder',
    `fill("${sentence}")`,
    '```',
  ];
  if (!hasOnnx) return python;
  return [
    ...python,
    '',
    '```js',
    "import { pipeline } from '@huggingface/transformers';",
    "const fill = await pipeline('fill-mask', name, { dtype: 'fp32' });",
    `await fill('${sentence}');`,
    '```',
  ];
}

function data({ run }: CheckpointState, manifests: ReadonlyMap<string, Manifest>): readonly string[] {
  const { datasets, maxSeqLen } = run.data;
  const lines = [`Rows of ${maxSeqLen} tokens.`];
  for (const { reference, fingerprint, weight } of datasets) {
    const share = datasets.length === 1 ? [] : [['weight', String(weight)] as const];
    const manifest = manifests.get(fingerprint);
    const found =
      manifest === undefined
        ? []
        : [...describeSources(manifest), ...describeMaking(manifest), ...describeTotals(manifest)];
    lines.push('', ...factTable([['dataset', reference], ['fingerprint', fingerprint], ...share, ...found]));
  }
  return lines;
}

function settings({ run }: CheckpointState): readonly string[] {
  // Where it lay here is nobody's business elsewhere.
  const entries = Object.entries(run.settings).filter(([name]) => name !== 'out');
  const facts = entries.map(
    ([name, value]) => [`\`--${name}\``, Array.isArray(value) ? value.join(', ') : String(value)] as const,
  );
  const versions = Object.entries(run.versions).map(([name, version]) => `${name} ${version}`);
  return factTable([
    ...facts,
    ['computed by', `${run.backend}, ${run.precision}`],
    ['versions', versions.join(', ')],
  ]);
}

function scores({ metrics }: CardFacts): readonly string[] {
  const evaluations = metrics.filter((line) => line.type === 'validation').slice(-MAX_EVALUATIONS);
  const last = evaluations.at(-1);
  if (last === undefined) return [];
  const hasTc = evaluations.some(({ tcLoss }) => tcLoss !== undefined);
  const head = [
    'updates',
    'MLM loss',
    'perplexity',
    'MLM accuracy',
    ...(hasTc ? ['TC loss', 'TC accuracy'] : []),
  ];
  return [
    '',
    '## Scores',
    '',
    `On ${exact(last.numRows)} rows held out from training, natural logarithms.`,
    '',
    `| ${head.join(' | ')} |`,
    `|${'---|'.repeat(head.length)}`,
    ...evaluations.map((line) => `| ${scoresOf(line, hasTc).join(' | ')} |`),
  ];
}

function scoresOf(line: ValidationLine, hasTc: boolean): readonly string[] {
  const figure = (value: number | null | undefined): string =>
    value === null || value === undefined ? '–' : value.toFixed(3);
  return [
    exact(line.step),
    figure(line.mlmLoss),
    figure(line.perplexity),
    figure(line.mlmAccuracy),
    ...(hasTc ? [figure(line.tcLoss), figure(line.tcAccuracy)] : []),
  ];
}
