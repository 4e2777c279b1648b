import {
  defineFunction,
  f32,
  f32x4,
  type FunctionBuilder,
  type I32,
  i32,
  type Local,
  v128,
} from '../../../pipeline/index.ts';
import { bytes, constant, DoubleSum, exponential, forEachLane, maxOfLanes, sumOfLanes } from './lanes.ts';

/** Runs the body for each row of a matrix of float32, with the byte offset of the row's begin. */
function forEachRow(
  f: FunctionBuilder,
  numRows: I32,
  numColumns: I32,
  body: (rowOffset: Local<'i32'>) => void,
): void {
  const row = f.let(i32.const(0));
  const rowOffset = f.let(i32.const(0));
  const rowBytes = f.let(bytes(numColumns));
  f.while(row, numRows, 1, () => {
    body(rowOffset);
    f.advance(rowOffset, rowBytes);
  });
}

/** rowMax(x, count): the largest value; count ≥ 1 */
export const rowMax = defineFunction('rowMax', ['i32', 'i32'], (f, [x, count]) => {
  const largest = f.let(v128.loadSplat(x));
  forEachLane(f, count, (lanes, offset) => {
    f.set(largest, f32x4.pseudoMax(largest, lanes.loadRepeated(i32.add(x, offset))));
  });
  return maxOfLanes(largest);
});

/** exponentials(x, y, count, shift): y = e^(x − shift); returns Σ y */
export const exponentials = defineFunction(
  'exponentials',
  ['i32', 'i32', 'i32', 'f32'],
  (f, [x, y, count, shift]) => {
    const shifts = f.let(f32x4.splat(shift));
    const sum = new DoubleSum(f);
    forEachLane(f, count, (lanes, offset) => {
      const shifted = f32x4.sub(lanes.load(i32.add(x, offset)), shifts);
      const value = f.let(lanes.only(exponential(f, shifted)));
      f.emit(lanes.store(i32.add(y, offset), value));
      sum.add(value);
    });
    return sum.total;
  },
);

/** softmaxRows(x, rows, columns, scale, bias): each row becomes softmax(row·scale + bias), bias [columns] */
export const softmaxRows = defineFunction(
  'softmaxRows',
  ['i32', 'i32', 'i32', 'f32', 'i32'],
  (f, [x, numRows, numColumns, scale, bias]) => {
    const scales = f.let(f32x4.splat(scale));
    forEachRow(f, numRows, numColumns, (rowOffset) => {
      const row = f.let(i32.add(x, rowOffset));
      const largest = f.let(constant(Number.NEGATIVE_INFINITY));
      forEachLane(f, numColumns, (lanes, offset) => {
        const target = i32.add(row, offset);
        const scaled = f32x4.mul(lanes.load(target), scales);
        f.emit(lanes.store(target, f32x4.add(scaled, lanes.load(i32.add(bias, offset)))));
        f.set(largest, f32x4.pseudoMax(largest, lanes.loadRepeated(target)));
      });
      const highest = f.let(f32x4.splat(maxOfLanes(largest)));
      const sums = f.let(constant(0));
      forEachLane(f, numColumns, (lanes, offset) => {
        const target = i32.add(row, offset);
        const shifted = f32x4.sub(lanes.load(target), highest);
        const value = f.let(lanes.only(exponential(f, shifted)));
        f.emit(lanes.store(target, value));
        f.set(sums, f32x4.add(sums, value));
      });
      const factor = f.let(f32x4.splat(f32.div(f32.const(1), sumOfLanes(sums))));
      forEachLane(f, numColumns, (lanes, offset) => {
        const target = i32.add(row, offset);
        f.emit(lanes.store(target, f32x4.mul(lanes.load(target), factor)));
      });
    });
    return undefined;
  },
);

/** softmaxGradientRows(d, p, rows, columns, scale): d becomes p·(d − Σ d·p)·scale, row by row */
export const softmaxGradientRows = defineFunction(
  'softmaxGradientRows',
  ['i32', 'i32', 'i32', 'i32', 'f32'],
  (f, [d, p, numRows, numColumns, scale]) => {
    const scales = f.let(f32x4.splat(scale));
    forEachRow(f, numRows, numColumns, (rowOffset) => {
      const gradients = f.let(i32.add(d, rowOffset));
      const shares = f.let(i32.add(p, rowOffset));
      const products = f.let(constant(0));
      forEachLane(f, numColumns, (lanes, offset) => {
        const product = f32x4.mul(
          lanes.load(i32.add(gradients, offset)),
          lanes.load(i32.add(shares, offset)),
        );
        f.set(products, f32x4.add(products, product));
      });
      const total = f.let(f32x4.splat(sumOfLanes(products)));
      forEachLane(f, numColumns, (lanes, offset) => {
        const target = i32.add(gradients, offset);
        const share = f32x4.mul(lanes.load(i32.add(shares, offset)), scales);
        f.emit(lanes.store(target, f32x4.mul(share, f32x4.sub(lanes.load(target), total))));
      });
    });
    return undefined;
  },
);

/** columnSums(x, sums, rows, columns): sums += Σ of the rows */
export const columnSums = defineFunction(
  'columnSums',
  ['i32', 'i32', 'i32', 'i32'],
  (f, [x, sums, numRows, numColumns]) => {
    forEachRow(f, numRows, numColumns, (rowOffset) => {
      const row = f.let(i32.add(x, rowOffset));
      forEachLane(f, numColumns, (lanes, offset) => {
        const target = i32.add(sums, offset);
        f.emit(lanes.store(target, f32x4.add(lanes.load(target), lanes.load(i32.add(row, offset)))));
      });
    });
    return undefined;
  },
);
