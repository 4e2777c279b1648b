import { createTokenizer, type Tokenizer } from '../../pipeline/index.ts';
import { type BackendChoice, openBackend } from '../engine/index.ts';
import { type ImportedModel, type ImportOptions, importModel, tokenizerOf } from '../export/import-model.ts';
import { InferenceSession } from './inference-session.ts';

/** A model with its tokenizer, ready to predict. */
export interface OpenedModel extends Omit<ImportedModel, 'tensors' | 'tokenizer'> {
  readonly tokenizer: Tokenizer;
  readonly session: InferenceSession;
  /** Frees the session. */
  dispose(): void;
}

/**
 * Opens a model for use: that of a run's newest checkpoint, a checkpoint, a folder, or the Hub.
 * @throws TacoError as `importModel`; `not-found` when it has no tokenizer, `backend` when none can be opened
 */
export async function openModel(
  reference: string,
  { backend, ...options }: ImportOptions & { readonly backend: BackendChoice },
): Promise<OpenedModel> {
  const { tensors, ...model } = await importModel(reference, options);
  const tokenizer = createTokenizer(tokenizerOf(model));
  await openBackend(backend);
  const session = new InferenceSession(model.config, tensors);
  return {
    ...model,
    tokenizer,
    session,
    dispose: () => {
      session.dispose();
    },
  };
}
