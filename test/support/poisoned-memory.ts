/*
 * Memory that is given back too early keeps its content until somebody else is given it, which seldom happens while a
 * test looks. Here, before every test, it is overwritten at once: who still reads it reads nonsense.
 */
import { SpareMemory } from '../../pipeline/spare-memory.ts';

/** As an id outside every vocabulary, as UTF-8 malformed, as an end beyond every buffer. */
const POISON = 0xa5;

const give = Object.getOwnPropertyDescriptor(SpareMemory.prototype, 'give')!.value as (
  this: SpareMemory<ArrayBufferLike>,
  memory: ArrayBufferLike,
) => void;

SpareMemory.prototype.give = function (memory): void {
  new Uint8Array(memory).fill(POISON);
  give.call(this, memory);
};
