import {
  defineFunction,
  f32x4,
  type FunctionBuilder,
  i32,
  i32x4,
  i64x2,
  type Local,
  v128,
} from '../../../pipeline/index.ts';
import { constant, DoubleSum, exponential, forEachLane, normalCdf } from './lanes.ts';

/** gelu(x, y, count): y = x·Φ(x) */
export const gelu = defineFunction('gelu', ['i32', 'i32', 'i32'], (f, [x, y, count]) => {
  forEachLane(f, count, (lanes, offset) => {
    const value = f.let(lanes.load(i32.add(x, offset)));
    f.emit(lanes.store(i32.add(y, offset), f32x4.mul(value, normalCdf(f, value))));
  });
  return undefined;
});

/** geluGradient(dy, x, dx, count): dx = dy·(Φ(x) + x·φ(x)) */
export const geluGradient = defineFunction(
  'geluGradient',
  ['i32', 'i32', 'i32', 'i32'],
  (f, [dy, x, dx, count]) => {
    forEachLane(f, count, (lanes, offset) => {
      const value = f.let(lanes.load(i32.add(x, offset)));
      const cdf = normalCdf(f, value);
      const exponent = f32x4.mul(f32x4.mul(value, value), constant(-0.5));
      const density = f32x4.mul(exponential(f, exponent), constant(1 / Math.sqrt(2 * Math.PI)));
      const slope = f32x4.add(cdf, f32x4.mul(value, density));
      f.emit(lanes.store(i32.add(dx, offset), f32x4.mul(lanes.load(i32.add(dy, offset)), slope)));
    });
    return undefined;
  },
);

/** addTo(x, sum, count): sum += x */
export const addTo = defineFunction('addTo', ['i32', 'i32', 'i32'], (f, [x, sum, count]) => {
  forEachLane(f, count, (lanes, offset) => {
    const target = i32.add(sum, offset);
    f.emit(lanes.store(target, f32x4.add(lanes.load(target), lanes.load(i32.add(x, offset)))));
  });
  return undefined;
});

/** scale(x, count, factor): x *= factor */
export const scale = defineFunction('scale', ['i32', 'i32', 'f32'], (f, [x, count, factor]) => {
  const factors = f.let(f32x4.splat(factor));
  forEachLane(f, count, (lanes, offset) => {
    const target = i32.add(x, offset);
    f.emit(lanes.store(target, f32x4.mul(lanes.load(target), factors)));
  });
  return undefined;
});

/** sumOfSquares(x, count): Σ x², added up in double precision */
export const sumOfSquares = defineFunction('sumOfSquares', ['i32', 'i32'], (f, [x, count]) => {
  const sum = new DoubleSum(f);
  forEachLane(f, count, (lanes, offset) => {
    const value = f.let(lanes.load(i32.add(x, offset)));
    sum.add(f.let(f32x4.mul(value, value)));
  });
  return sum.total;
});

/**
 * adamW(p, g, m, v, p′, m′, v′, count, β₁, β₂, (1 − β₁)·scale, (1 − β₂)·scale², step size, ε, kept share): the update of
 * optim/adamw.ts in one pass.
 */
export const adamW = defineFunction(
  'adamW',
  [
    ...(['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'] as const),
    ...(['f32', 'f32', 'f32', 'f32', 'f32', 'f32', 'f32'] as const),
  ],
  (f, [p, g, m, v, newP, newM, newV, count, ...numbers]) => {
    const [beta1, beta2, scale1, scale2, stepSize, epsilon, keep] = numbers.map((number) =>
      f.let(f32x4.splat(number)),
    );
    forEachLane(f, count, (lanes, offset) => {
      const gradient = f.let(lanes.load(i32.add(g, offset)));
      const first = f.let(
        f32x4.add(f32x4.mul(lanes.load(i32.add(m, offset)), beta1!), f32x4.mul(gradient, scale1!)),
      );
      const second = f.let(
        f32x4.add(
          f32x4.mul(lanes.load(i32.add(v, offset)), beta2!),
          f32x4.mul(f32x4.mul(gradient, gradient), scale2!),
        ),
      );
      const direction = f32x4.div(first, f32x4.add(f32x4.sqrt(second), epsilon!));
      const kept = f32x4.mul(lanes.load(i32.add(p, offset)), keep!);
      f.emit(lanes.store(i32.add(newM, offset), first));
      f.emit(lanes.store(i32.add(newV, offset), second));
      f.emit(lanes.store(i32.add(newP, offset), f32x4.sub(kept, f32x4.mul(direction, stepSize!))));
    });
    return undefined;
  },
);

/** Elements of one pass of `dropout`: four counters of Philox with four words each. */
export const DROPOUT_BLOCK = 16;

/**
 * dropout(x, y, number of blocks, key₀, key₁, counter₀, counter₂, counter₃, threshold, scale): y = x·scale where the low
 * 23 bits of the element's Philox word are at least the threshold, else 0. Block b uses counters counter₀ + 4b to
 * counter₀ + 4b + 3 (counter₁ is 0), and element 4i + j word j of the i-th of them. See philox.ts.
 */
export const dropout = defineFunction(
  'dropout',
  ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'f32'],
  (f, [x, y, numBlocks, key0, key1, counter0, counter2, counter3, threshold, factor]) => {
    const source = f.let(x);
    const target = f.let(y);
    const thresholds = f.let(i32x4.splat(threshold));
    const factors = f.let(f32x4.splat(factor));
    const counters = f.let(i32x4.add(i32x4.splat(counter0), v128.const([0, 1, 2, 3])));
    const block = f.let(i32.const(0));
    f.while(block, numBlocks, 1, () => {
      const words = philoxRounds(f, {
        counter: [
          f.let(counters),
          f.let(v128.const([0, 0, 0, 0])),
          f.let(i32x4.splat(counter2)),
          f.let(i32x4.splat(counter3)),
        ],
        key: [f.let(i32x4.splat(key0)), f.let(i32x4.splat(key1))],
      });
      for (const [group, word] of transpose4(f, words).entries()) {
        const uniform = v128.and(word, v128.const([0x7fffff, 0x7fffff, 0x7fffff, 0x7fffff]));
        const kept = i32x4.ge(uniform, thresholds);
        const scaled = f32x4.mul(v128.load(source, 16 * group), factors);
        f.emit(v128.store(target, v128.and(scaled, kept), 16 * group));
      }
      f.set(counters, i32x4.add(counters, i32x4.splat(i32.const(4))));
      f.advance(source, i32.const(4 * DROPOUT_BLOCK));
      f.advance(target, i32.const(4 * DROPOUT_BLOCK));
    });
    return undefined;
  },
);

type Four<T> = readonly [T, T, T, T];

interface PhiloxState {
  /** Word i of four counters. */
  readonly counter: Four<Local<'v128'>>;
  readonly key: readonly [Local<'v128'>, Local<'v128'>];
}

/** Ten rounds of Philox4x32 on four counters at once; changes the state and returns it. */
function philoxRounds(f: FunctionBuilder, { counter, key }: PhiloxState): Four<Local<'v128'>> {
  const [c0, c1, c2, c3] = counter;
  for (let round = 0; round < 10; round += 1) {
    const a = multiply(f, c0, 0xd2511f53);
    const b = multiply(f, c2, 0xcd9e8d57);
    f.set(c0, v128.xor(v128.xor(b.high, c1), key[0]));
    f.set(c1, b.low);
    f.set(c2, v128.xor(v128.xor(a.high, c3), key[1]));
    f.set(c3, a.low);
    f.set(key[0], i32x4.add(key[0], i32x4.splat(i32.const(0x9e3779b9 | 0))));
    f.set(key[1], i32x4.add(key[1], i32x4.splat(i32.const(0xbb67ae85 | 0))));
  }
  return counter;
}

/** Upper and lower words of the 64-bit products with a constant. */
function multiply(f: FunctionBuilder, x: Local<'v128'>, multiplier: number) {
  const factors = i32x4.splat(i32.const(multiplier | 0));
  const firstTwo = f.let(i64x2.extendedMultiplyLow(x, factors));
  const lastTwo = f.let(i64x2.extendedMultiplyHigh(x, factors));
  return {
    low: f.let(v128.shuffle(firstTwo, lastTwo, [0, 2, 4, 6])),
    high: f.let(v128.shuffle(firstTwo, lastTwo, [1, 3, 5, 7])),
  };
}

/** Rows become columns. */
export function transpose4(f: FunctionBuilder, rows: Four<Local<'v128'>>): Four<Local<'v128'>> {
  const [a, b, c, d] = rows;
  const ab = f.let(v128.shuffle(a, b, [0, 4, 1, 5]));
  const cd = f.let(v128.shuffle(c, d, [0, 4, 1, 5]));
  const abHigh = f.let(v128.shuffle(a, b, [2, 6, 3, 7]));
  const cdHigh = f.let(v128.shuffle(c, d, [2, 6, 3, 7]));
  return [
    f.let(v128.shuffle(ab, cd, [0, 1, 4, 5])),
    f.let(v128.shuffle(ab, cd, [2, 3, 6, 7])),
    f.let(v128.shuffle(abHigh, cdHigh, [0, 1, 4, 5])),
    f.let(v128.shuffle(abHigh, cdHigh, [2, 3, 6, 7])),
  ];
}
