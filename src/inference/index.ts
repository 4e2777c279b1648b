/** What commands use of trained models. */
export { type Candidate, fillMask } from './fill-mask.ts';
export { type OpenedModel, openModel } from './open-model.ts';
