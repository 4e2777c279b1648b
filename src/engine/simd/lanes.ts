import {
  type F32,
  f32,
  f32x4,
  type F64,
  f64,
  f64x2,
  type FunctionBuilder,
  type I32,
  i32,
  i32x4,
  type Local,
  type Statement,
  type V128,
  v128,
} from '../../../pipeline/index.ts';

/** How a loop over float32 values reads and writes: four at a time, or the last few one by one. */
export interface Lanes {
  load(address: I32): V128;
  /** Like `load`, but lanes that hold no element repeat one, which leaves a maximum as it is. */
  loadRepeated(address: I32): V128;
  store(address: I32, value: V128): Statement;
  /** The value with zeros in the lanes that hold no element. */
  only(value: V128): V128;
}

const fourLanes: Lanes = {
  load: (address) => v128.load(address),
  loadRepeated: (address) => v128.load(address),
  store: (address, value) => v128.store(address, value),
  only: (value) => value,
};
const firstLane: Lanes = {
  load: v128.loadFirst,
  loadRepeated: (address) => v128.loadSplat(address),
  store: v128.storeFirst,
  only: (value) => v128.and(value, v128.const([0xffffffff, 0, 0, 0])),
};

/** Bytes of so many float32 values. */
export function bytes(count: I32): I32 {
  return i32.shl(count, i32.const(2));
}

/**
 * A loop over `count` float32 values. The body is emitted twice: for whole vectors and for the rest.
 * @param body gets the byte offset of the element
 */
export function forEachLane(
  f: FunctionBuilder,
  count: I32,
  body: (lanes: Lanes, offset: Local<'i32'>) => void,
): void {
  const offset = f.let(i32.const(0));
  const wholeEnd = f.let(bytes(i32.and(count, i32.const(-4))));
  const end = f.let(bytes(count));
  f.while(offset, wholeEnd, 16, () => {
    body(fourLanes, offset);
  });
  f.while(offset, end, 4, () => {
    body(firstLane, offset);
  });
}

/** The same number in all lanes. */
export function constant(value: number): V128 {
  return f32x4.splat(f32.const(value));
}

export function sumOfLanes(value: Local<'v128'>): F32 {
  return f32.add(
    f32.add(f32x4.lane(value, 0), f32x4.lane(value, 1)),
    f32.add(f32x4.lane(value, 2), f32x4.lane(value, 3)),
  );
}

export function maxOfLanes(value: Local<'v128'>): F32 {
  return f32.max(
    f32.max(f32x4.lane(value, 0), f32x4.lane(value, 1)),
    f32.max(f32x4.lane(value, 2), f32x4.lane(value, 3)),
  );
}

/** Sums of many float32 values in double precision. */
export class DoubleSum {
  readonly #f: FunctionBuilder;
  readonly #sum: Local<'v128'>;

  constructor(f: FunctionBuilder) {
    this.#f = f;
    this.#sum = f.let(v128.const([0, 0, 0, 0]));
  }

  add(value: Local<'v128'>): void {
    const upper = v128.shuffle(value, value, [2, 3, 2, 3]);
    const both = f64x2.add(f64x2.promoteLow(value), f64x2.promoteLow(upper));
    this.#f.set(this.#sum, f64x2.add(this.#sum, both));
  }

  get total(): F64 {
    return f64.add(f64x2.lane(this.#sum, 0), f64x2.lane(this.#sum, 1));
  }
}

/** Σ coefficients[i] · xⁱ by Horner's rule. */
function polynomial(x: Local<'v128'>, coefficients: readonly number[]): V128 {
  return coefficients.reduceRight<V128 | undefined>(
    (sum, coefficient) =>
      sum === undefined ? constant(coefficient) : f32x4.add(f32x4.mul(sum, x), constant(coefficient)),
    undefined,
  )!;
}

/** Below this the exponential is no normal float32: it becomes 0. */
const SMALLEST_EXPONENT = -87.3;
const LARGEST_EXPONENT = 88.3;
/** ln 2 as the sum of a number with trailing zeros, whose small multiples are exact, and the rest. */
const LN2_HIGH = 0.693145751953125;
const LN2_LOW = Math.LN2 - LN2_HIGH;

/** 1.5 · 2²³: a sum with it is rounded to a whole number, which its lowest bits then hold. */
const ROUNDER = 12_582_912;

/**
 * eˣ with a relative error of about 2e-7: x = n·ln 2 + r, |r| ≤ ln 2 / 2, Taylor's series of eʳ to the 7th power (which
 * leaves 5e-9), times 2ⁿ by way of the exponent's bits. 0 below −87.3, e^88.3 above 88.3; NaN stays NaN.
 */
export function exponential(f: FunctionBuilder, x: V128): V128 {
  const original = f.let(x);
  const clamped = f.let(
    f32x4.pseudoMin(f32x4.pseudoMax(original, constant(SMALLEST_EXPONENT)), constant(LARGEST_EXPONENT)),
  );
  const rounded = f.let(f32x4.add(f32x4.mul(clamped, constant(Math.LOG2E)), constant(ROUNDER)));
  const power = f.let(f32x4.sub(rounded, constant(ROUNDER)));
  const rest = f.let(
    f32x4.sub(f32x4.sub(clamped, f32x4.mul(power, constant(LN2_HIGH))), f32x4.mul(power, constant(LN2_LOW))),
  );
  const series = polynomial(rest, [1, 1, 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040]);
  const scaled = i32x4.add(series, i32x4.shl(rounded, 23));
  return v128.andNot(scaled, f32x4.lt(original, constant(SMALLEST_EXPONENT)));
}

/** From here on erf(x/√2) is 1 in float32. */
const ERF_ONE = 5.5;
/**
 * erf(x/√2) / x as a quotient of polynomials in x², fitted to double-precision values on [0, 5.5] by least squares,
 * reweighted until the relative error was level (1.7e-8; 3.5e-7 when computed in float32).
 */
const ERF_NUMERATOR = [
  0.7978845238685608, 0.066911980509758, 0.009302589111030102, 3.290869644843042e-4, 1.260264434677083e-5,
  4.5865924391819135e-8,
];
const ERF_DENOMINATOR = [
  1, 0.25052812695503235, 0.028414444997906685, 0.0018604734214022756, 7.215706864371896e-5,
  1.1990618986601476e-6,
];

/** The standard normal distribution function Φ(x) = (1 + erf(x/√2)) / 2. */
export function normalCdf(f: FunctionBuilder, x: Local<'v128'>): Local<'v128'> {
  const clamped = f.let(f32x4.pseudoMin(f32x4.pseudoMax(x, constant(-ERF_ONE)), constant(ERF_ONE)));
  const square = f.let(f32x4.mul(clamped, clamped));
  const quotient = f32x4.div(polynomial(square, ERF_NUMERATOR), polynomial(square, ERF_DENOMINATOR));
  const half = constant(0.5);
  return f.let(f32x4.add(f32x4.mul(f32x4.mul(clamped, quotient), half), half));
}
