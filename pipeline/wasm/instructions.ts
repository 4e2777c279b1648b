import type { Expression, F32, F64, I32, I64, Statement, V128, ValueType } from './assembler.ts';
import { signed, unsigned } from './assembler.ts';

/** Typed instructions; the names are those of the WebAssembly specification, without their type where it is clear. */

const vectorPrefix = 0xfd;
/** Addresses are multiples of 4, not of 16; a hint only. */
const alignment = 2;

function binary<T extends ValueType, R extends ValueType>(type: R, ...code: number[]) {
  return (a: Expression<T>, b: Expression<T>): Expression<R> => ({
    type,
    code: [...a.code, ...b.code, ...code],
  });
}

function unary<T extends ValueType, R extends ValueType>(type: R, ...code: number[]) {
  return (a: Expression<T>): Expression<R> => ({ type, code: [...a.code, ...code] });
}

const simd = (instruction: number): number[] => [vectorPrefix, ...unsigned(instruction)];
const vectors = (instruction: number) => binary<'v128', 'v128'>('v128', ...simd(instruction));
const vector = (instruction: number) => unary<'v128', 'v128'>('v128', ...simd(instruction));

export const i32 = {
  load: (address: I32, offset = 0): I32 => ({
    type: 'i32',
    code: [...address.code, 0x28, alignment, ...unsigned(offset)],
  }),
  load8: (address: I32, offset = 0): I32 => ({
    type: 'i32',
    code: [...address.code, 0x2d, 0, ...unsigned(offset)],
  }),
  store: (address: I32, value: I32, offset = 0): Statement => [
    ...address.code,
    ...value.code,
    0x36,
    alignment,
    ...unsigned(offset),
  ],
  store8: (address: I32, value: I32): Statement => [...address.code, ...value.code, 0x3a, 0, 0],
  const: (value: number): I32 => ({ type: 'i32', code: [0x41, ...signed(value)] }),
  add: binary<'i32', 'i32'>('i32', 0x6a),
  sub: binary<'i32', 'i32'>('i32', 0x6b),
  mul: binary<'i32', 'i32'>('i32', 0x6c),
  and: binary<'i32', 'i32'>('i32', 0x71),
  or: binary<'i32', 'i32'>('i32', 0x72),
  xor: binary<'i32', 'i32'>('i32', 0x73),
  shl: binary<'i32', 'i32'>('i32', 0x74),
  shr: binary<'i32', 'i32'>('i32', 0x76),
  /** 1 where they are equal, 0 elsewhere. */
  eq: binary<'i32', 'i32'>('i32', 0x46),
  /** 1 where a < b, both unsigned, 0 elsewhere. */
  lt: binary<'i32', 'i32'>('i32', 0x49),
  /** a where the condition is not 0, else b. */
  select: (a: I32, b: I32, condition: I32): I32 => ({
    type: 'i32',
    code: [...a.code, ...b.code, ...condition.code, 0x1b],
  }),
  /** Number of zero bits below the lowest one that is set; 32 for 0. */
  trailingZeros: unary<'i32', 'i32'>('i32', 0x68),
  /** Number of zero bits above the highest one that is set; 32 for 0. */
  leadingZeros: unary<'i32', 'i32'>('i32', 0x67),
} as const;

export const i64 = {
  const: (value: bigint): I64 => ({ type: 'i64', code: [0x42, ...signed64(value)] }),
  add: binary<'i64', 'i64'>('i64', 0x7c),
  mul: binary<'i64', 'i64'>('i64', 0x7e),
  shr: binary<'i64', 'i64'>('i64', 0x88),
  /** The low 32 bits. */
  wrap: unary<'i64', 'i32'>('i32', 0xa7),
  extend: unary<'i32', 'i64'>('i64', 0xad),
} as const;

export const f32 = {
  const: (value: number): F32 => ({ type: 'f32', code: [0x43, ...bytesOf(Float32Array.of(value))] }),
  add: binary<'f32', 'f32'>('f32', 0x92),
  sub: binary<'f32', 'f32'>('f32', 0x93),
  mul: binary<'f32', 'f32'>('f32', 0x94),
  div: binary<'f32', 'f32'>('f32', 0x95),
  max: binary<'f32', 'f32'>('f32', 0x97),
  sqrt: unary<'f32', 'f32'>('f32', 0x91),
  convertU: unary<'i32', 'f32'>('f32', 0xb3),
  demote: unary<'f64', 'f32'>('f32', 0xb6),
  load: (address: I32): F32 => ({ type: 'f32', code: [...address.code, 0x2a, alignment, 0] }),
  store: (address: I32, value: F32): Statement => [...address.code, ...value.code, 0x38, alignment, 0],
} as const;

export const f64 = {
  add: binary<'f64', 'f64'>('f64', 0xa0),
} as const;

export const v128 = {
  load: (address: I32, offset = 0): V128 => memory(address, 0, offset),
  /** One float32 in all four lanes. */
  loadSplat: (address: I32, offset = 0): V128 => memory(address, 9, offset),
  /** One float32 in the first lane, zeros in the others. */
  loadFirst: (address: I32): V128 => memory(address, 92, 0),
  store: (address: I32, value: V128, offset = 0): Statement => [
    ...address.code,
    ...value.code,
    ...simd(11),
    alignment,
    ...unsigned(offset),
  ],
  storeFirst: (address: I32, value: V128): Statement => [
    ...address.code,
    ...value.code,
    ...simd(90),
    alignment,
    0,
    0,
  ],
  const: (words: readonly [number, number, number, number]): V128 => ({
    type: 'v128',
    code: [...simd(12), ...bytesOf(Uint32Array.from(words))],
  }),
  /** Four of the eight 32-bit lanes of a and b, which are numbered 0 to 3 and 4 to 7. */
  shuffle: (a: V128, b: V128, lanes: readonly [number, number, number, number]): V128 => ({
    type: 'v128',
    code: [
      ...a.code,
      ...b.code,
      ...simd(13),
      ...lanes.flatMap((lane) => [0, 1, 2, 3].map((byte) => 4 * lane + byte)),
    ],
  }),
  and: vectors(78),
  /** a where b has no bits. */
  andNot: vectors(79),
  or: vectors(80),
  xor: vectors(81),
  /** 1 where any bit is set, 0 elsewhere. */
  anyTrue: unary<'v128', 'i32'>('i32', ...simd(83)),
} as const;

export const i8x16 = {
  splat: unary<'i32', 'v128'>('v128', ...simd(15)),
  add: vectors(110),
  eq: vectors(35),
  /** All bits where a > b, both signed. */
  gt: vectors(39),
  /** Unsigned. */
  shr: (value: V128, bits: number): V128 => ({
    type: 'v128',
    code: [...value.code, ...i32.const(bits).code, ...simd(109)],
  }),
  /** Byte number index[i] of a, 0 where that is no lane. */
  swizzle: vectors(14),
  /** The highest bit of each lane. */
  bitmask: unary<'v128', 'i32'>('i32', ...simd(100)),
  withLane: (value: V128, lane: number, byte: I32): V128 => ({
    type: 'v128',
    code: [...value.code, ...byte.code, ...simd(23), lane],
  }),
} as const;

export const f32x4 = {
  splat: unary<'f32', 'v128'>('v128', ...simd(19)),
  lane: (value: V128, lane: 0 | 1 | 2 | 3): F32 => ({
    type: 'f32',
    code: [...value.code, ...simd(31), lane],
  }),
  add: vectors(228),
  sub: vectors(229),
  mul: vectors(230),
  div: vectors(231),
  /** b where b < a, else a: one instruction of the processor where f32x4.min is eight. A NaN in a stays. */
  pseudoMin: vectors(234),
  /** b where a < b, else a; like `pseudoMin`. */
  pseudoMax: vectors(235),
  lt: vectors(67),
  sqrt: vector(227),
} as const;

export const i16x8 = {
  /** The lanes of a and b, signed, as unsigned numbers of 16 bits; what is beyond them becomes the nearest of them. */
  narrow: vectors(134),
} as const;

export const i32x4 = {
  splat: unary<'i32', 'v128'>('v128', ...simd(17)),
  lane: (value: V128, lane: 0 | 1 | 2 | 3): I32 => ({
    type: 'i32',
    code: [...value.code, ...simd(27), lane],
  }),
  add: vectors(174),
  sub: vectors(177),
  /** Signed. */
  min: vectors(182),
  ge: vectors(63),
  shl: (value: V128, bits: number): V128 => ({
    type: 'v128',
    code: [...value.code, ...i32.const(bits).code, ...simd(171)],
  }),
} as const;

export const i64x2 = {
  lane: (value: V128, lane: 0 | 1): I64 => ({ type: 'i64', code: [...value.code, ...simd(29), lane] }),
  /** Full products of the unsigned lanes 0 and 1. */
  extendedMultiplyLow: vectors(222),
  /** Full products of the unsigned lanes 2 and 3. */
  extendedMultiplyHigh: vectors(223),
} as const;

export const f64x2 = {
  add: vectors(240),
  mul: vectors(242),
  /** The float32 lanes 0 and 1 in double precision. */
  promoteLow: vector(95),
  lane: (value: V128, lane: 0 | 1): F64 => ({ type: 'f64', code: [...value.code, ...simd(33), lane] }),
} as const;

function memory(address: I32, instruction: number, offset: number): V128 {
  return {
    type: 'v128',
    code: [...address.code, ...simd(instruction), alignment, ...unsigned(offset)],
  };
}

function signed64(value: bigint): number[] {
  const bytes: number[] = [];
  let rest = BigInt.asIntN(64, value);
  for (;;) {
    const low = Number(rest & 0x7fn);
    rest >>= 7n;
    if ((rest === 0n && low < 0x40) || (rest === -1n && low >= 0x40)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

function bytesOf(values: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>): number[] {
  return [...new Uint8Array(values.buffer)];
}
