export type { Backend, BackendChoice, OpenBackendOptions } from './backend.ts';
export { backendChoices, openBackend } from './backend.ts';
