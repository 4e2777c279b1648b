import { planRun, recipeNames, resolveConfig, train, type TrainOutcome } from '../train/index.ts';
import { type CommandSpec, type Flag, runCommand } from './command.ts';
import { createProgress } from './progress.ts';
import { describePlan } from './training-plan.ts';
import { createTrainingReporter } from './training-reporter.ts';

const spec = {
  usage: 'npm run train --',
  summary:
    'Trains BERT with MLM or TACO on prepared datasets. Without flags: TACO-small, as the recipe taco-small.',
  flags: {
    config: {
      type: 'string',
      placeholder: 'recipe or file',
      help: `one of ${recipeNames.join(', ')}, or a JSON file of settings spelt like these flags; flags override it`,
    },
    data: {
      type: 'string',
      multiple: true,
      placeholder: 'folder or hub:org/name',
      help: 'prepared dataset, hub:org/name[@revision] reads one by streaming; several are mixed by row, by their numbers of rows or by weights in front, as in 3:cache/datasets/wiki (default: cache/datasets/wiki-books-256)',
    },
    out: { type: 'string', placeholder: 'folder', help: 'folder of the run (default: runs/<mode>-<model>)' },
    mode: { type: 'string', placeholder: 'mlm|taco', help: 'objective (default: taco)' },
    model: {
      type: 'string',
      placeholder: 'size',
      help: 'tiny, mini, small, medium or base (default: small)',
    },
    'bert-config': {
      type: 'string',
      placeholder: 'file',
      help: "bert_config.json in Google's format, instead of --model",
    },
    'init-from': {
      type: 'string',
      placeholder: 'folder',
      help: 'begin with the weights of a checkpoint or another folder with a model.safetensors, at step 0 (default: drawn from the seed)',
    },
    'batch-size': { type: 'number', help: 'rows per micro-batch (default: 128)' },
    'grad-accum': { type: 'number', help: 'micro-batches per update (default: 4)' },
    'max-steps': { type: 'number', help: 'updates in all (default: 250000)' },
    lr: { type: 'number', help: 'peak learning rate (default: 1e-4)' },
    'warmup-steps': { type: 'number', help: 'updates of linear warm-up (default: 2500)' },
    'weight-decay': { type: 'number', help: 'not on biases and LayerNorm (default: 0.01)' },
    'max-grad-norm': { type: 'number', help: 'clips the gradient to this norm (default: 1)' },
    'mlm-probability': { type: 'number', help: 'share of tokens that MLM selects (default: 0.15)' },
    'neg-k': { type: 'number', help: 'TACO: negatives of each anchor, K (default: 50)' },
    'pos-window': { type: 'number', help: 'TACO: window of the positive, W (default: 5)' },
    'window-rule': {
      type: 'string',
      placeholder: 'readme|centered',
      help: "TACO: 0 < distance < W, or the original scripts' ±⌊W/2⌋ (default: readme)",
    },
    tau: { type: 'number', help: 'TACO: temperature (default: 0.07)' },
    'tc-weight': { type: 'number', help: 'TACO: weight of the contrastive loss (default: 1)' },
    variant: {
      type: 'string',
      placeholder: 'all|unmasked|masked',
      help: 'TACO: which tokens are anchors (default: all)',
    },
    'exclude-special': {
      type: 'boolean',
      help: 'TACO: special tokens such as [CLS] and [SEP] take no part in pairs (default: they do)',
    },
    'save-steps': { type: 'number', help: 'updates between checkpoints; 0: only at the end (default: 2500)' },
    'save-total-limit': { type: 'number', help: 'checkpoints kept (default: 3)' },
    'eval-steps': { type: 'number', help: 'updates between evaluations; 0: never (default: 1000)' },
    'eval-rows': {
      type: 'number',
      help: 'rows of the validation split per evaluation; 0: all (default: 2048)',
    },
    seed: { type: 'number', help: 'decides weights, order, masks, pairs and dropout (default: 42)' },
    backend: {
      type: 'string',
      placeholder: 'auto|tensorflow|wasm',
      help: 'where tensors are computed (default: auto)',
    },
    precision: {
      type: 'string',
      placeholder: 'auto|f32|bf16|fp16',
      help: 'type of matrix products (default: auto, bf16 where the processor or GPU has it)',
    },
    xla: { type: 'boolean', help: 'let XLA compile the step (default: no)' },
    resume: {
      type: 'boolean',
      help: 'go on from the newest checkpoint (default where there is one); --no-resume begins anew and moves an old run aside',
    },
    override: {
      type: 'boolean',
      help: 'go on with other batches, steps, learning rate, warm-up, weight decay, clipping, precision or weights of datasets than before (default: they are refused)',
    },
    'dry-run': { type: 'boolean', help: 'print what would be done, do nothing' },
  },
  examples: [
    'npm run train -- --data cache/datasets/wiki-books-256 --mode taco --model small --out runs/taco-small',
    'npm run train -- --data 3:cache/datasets/wiki --data 1:cache/datasets/books',
    'npm run train -- --config bert-small --max-steps 1000000 --warmup-steps 10000 --save-steps 10000',
  ],
} as const satisfies CommandSpec<Readonly<Record<string, Flag>>>;

await runCommand(spec, async ({ flags, signal }) => {
  const { config: recipe, resume, override, 'dry-run': dryRun, ...settings } = flags;
  const progress = createProgress();
  const plan = await planRun(resolveConfig({ config: recipe, flags: settings }), ({ message }) => {
    progress.message(message);
  });
  if (dryRun === true) {
    process.stdout.write(`${await describePlan(plan, { resume, override })}\n`);
    return;
  }
  const reporter = createTrainingReporter(plan, progress);
  let outcome: TrainOutcome | undefined;
  try {
    outcome = await train(plan, { resume, override, signal, report: reporter.report });
  } finally {
    reporter.close(outcome);
  }
});
