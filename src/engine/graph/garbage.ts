import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

let collect: (() => void) | undefined;

/**
 * Frees what JavaScript no longer uses. V8 does so when its own heap grows, and knows nothing of the memory that
 * TensorFlow is about to take: the initial weights of BERT-small, 120 MB, would stay beside a step's highest point.
 */
export function collectGarbage(): void {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as () => void;
  }
  collect();
}
