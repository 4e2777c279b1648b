/*
 * Memory that is given back too early keeps its content until somebody else is given it, which seldom happens while a
 * test looks. Here, before every test, it is overwritten at once: who still reads it reads nonsense.
 */
import { SpareMemory } from '../../pipeline/spare-memory.ts';

const give = Object.getOwnPropertyDescriptor(SpareMemory.prototype, 'give')!.value as (
  this: SpareMemory<ArrayBufferLike>,
  memory: ArrayBufferLike,
) => void;

SpareMemory.prototype.give = function (memory): void {
  // Not what fresh memory has in it; but shared memory holds ends of documents, and a huge one keeps packing busy.
  new Uint8Array(memory).fill(memory instanceof SharedArrayBuffer ? 0 : 0xa5);
  give.call(this, memory);
};
