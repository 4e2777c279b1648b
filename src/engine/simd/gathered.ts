import {
  defineFunction,
  f32x4,
  type FunctionBuilder,
  type I32,
  i32,
  type Local,
  v128,
} from '../../../pipeline/index.ts';
import { transpose4 } from './elementwise.ts';
import { bytes, constant, forEachLane } from './lanes.ts';

/** Rows whose products with a vector are computed at a time. */
const DOT_ROWS = 4;

/** gatheredDots(x, addresses, count, size, y): y[j] = x·row, for the rows of `size` values at `count` addresses */
export const gatheredDots = defineFunction(
  'gatheredDots',
  ['i32', 'i32', 'i32', 'i32', 'i32'],
  (f, [x, addresses, count, size, y]) => {
    const index = f.let(i32.const(0));
    const address = f.let(addresses);
    const target = f.let(y);
    const sumsOf = (numRows: number) => {
      const rows = Array.from({ length: numRows }, (_, i) => f.let(i32.load(address, 4 * i)));
      const sums = rows.map(() => f.let(constant(0)));
      forEachLane(f, size, (lanes, offset) => {
        const value = f.let(lanes.load(i32.add(x, offset)));
        for (const [i, row] of rows.entries()) {
          const product = f32x4.mul(value, lanes.load(i32.add(row, offset)));
          f.set(sums[i]!, f32x4.add(sums[i]!, product));
        }
      });
      f.advance(address, i32.const(4 * numRows));
      return sums;
    };
    const total = (sums: readonly Local<'v128'>[]) => {
      const filled = Array.from({ length: DOT_ROWS }, (_, i) => sums[i] ?? sums[0]!);
      const [a, b, c, d] = transpose4(f, filled as [...Parts]);
      return f32x4.add(f32x4.add(a, b), f32x4.add(c, d));
    };
    f.while(index, f.let(i32.and(count, i32.const(-DOT_ROWS))), DOT_ROWS, () => {
      f.emit(v128.store(target, total(sumsOf(DOT_ROWS))));
      f.advance(target, i32.const(4 * DOT_ROWS));
    });
    f.while(index, count, 1, () => {
      f.emit(v128.storeFirst(target, total(sumsOf(1))));
      f.advance(target, i32.const(4));
    });
    return undefined;
  },
);

type Parts = [Local<'v128'>, Local<'v128'>, Local<'v128'>, Local<'v128'>];

/** gatheredSum(weights, addresses, count, size, y): y = Σ weights[j]·row, of the rows of `size` values at `count` addresses */
export const gatheredSum = defineFunction(
  'gatheredSum',
  ['i32', 'i32', 'i32', 'i32', 'i32'],
  (f, [weights, addresses, count, size, y]) => {
    const column = f.let(i32.const(0));
    const sumColumns = (columns: number) => {
      const end = f.let(columns === 1 ? size : i32.and(size, i32.const(-columns)));
      f.while(column, end, columns, () => {
        sumOfColumns(f, { weights, addresses, count, y }, f.let(bytes(column)), columns);
      });
    };
    for (const columns of [16, 4, 1]) sumColumns(columns);
    return undefined;
  },
);

function sumOfColumns(
  f: FunctionBuilder,
  { weights, addresses, count, y }: Readonly<Record<'weights' | 'addresses' | 'count' | 'y', I32>>,
  offset: Local<'i32'>,
  columns: number,
): void {
  const sums = Array.from({ length: Math.ceil(columns / 4) }, () => f.let(constant(0)));
  const address = f.let(addresses);
  const end = f.let(i32.add(addresses, bytes(count)));
  const weight = f.let(weights);
  f.while(address, end, 4, () => {
    const row = f.let(i32.add(i32.load(address), offset));
    const factor = f.let(v128.loadSplat(weight));
    for (const [i, sum] of sums.entries()) {
      const value = columns === 1 ? v128.loadFirst(row) : v128.load(row, 16 * i);
      f.set(sum, f32x4.add(sum, f32x4.mul(factor, value)));
    }
    f.advance(weight, i32.const(4));
  });
  const target = f.let(i32.add(y, offset));
  for (const [i, sum] of sums.entries()) {
    f.emit(columns === 1 ? v128.storeFirst(target, sum) : v128.store(target, sum, 16 * i));
  }
}
