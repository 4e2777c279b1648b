/** What commands use of trained models. */
export { embedTexts, type Embeddings } from './embed.ts';
export { type Candidate, fillMask } from './fill-mask.ts';
export { type OpenedModel, openModel } from './open-model.ts';
export { type Geometry, PROBE_WINDOW, type ProbeResult, probe } from './probe.ts';
