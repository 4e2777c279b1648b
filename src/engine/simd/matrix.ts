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
import { transpose4 } from './elementwise.ts';
import { bytes, constant, forEachLane } from './lanes.ts';

/** How many columns of the product a tile covers: two vectors, one, or a single element. */
interface TileWidth {
  readonly columns: number;
  load(address: I32): Local<'v128'>[];
  /** Adds to what is there. */
  add(address: I32, sums: readonly Local<'v128'>[]): void;
}

/**
 * multiply(a, a's row step, a's column step, b, b's row step, c, c's row step, rows, columns, inner size): C += A·B, all
 * steps in bytes. A may be walked in any direction, so that Aᵀ·B needs no transposed copy; rows of B and C are
 * contiguous. Tiles of 4 × 8 stay in registers.
 */
export const multiply = defineFunction(
  'multiply',
  ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  (f, [a, aRow, aColumn, b, bRow, c, cRow, numRows, numColumns, innerSize]) => {
    const widths = tileWidths(f);
    const row = f.let(i32.const(0));
    const rowEnd = f.let(i32.and(numRows, i32.const(-4)));
    const innerIndex = f.let(i32.const(0));

    const strip = (height: number) => {
      const column = f.let(i32.const(0));
      f.set(column, i32.const(0));
      const aStrip = f.let(i32.add(a, i32.mul(row, aRow)));
      const cStrip = f.let(i32.add(c, i32.mul(row, cRow)));
      for (const width of widths) {
        const end = f.let(width.columns === 1 ? numColumns : i32.and(numColumns, i32.const(-width.columns)));
        f.while(column, end, width.columns, () => {
          const aPointers = Array.from({ length: height }, (_, i) =>
            f.let(i32.add(aStrip, i32.mul(aRow, i32.const(i)))),
          );
          const bPointer = f.let(i32.add(b, bytes(column)));
          const numVectors = Math.ceil(width.columns / 4);
          const cPointer = f.let(i32.add(cStrip, bytes(column)));
          const sums = aPointers.map(() => Array.from({ length: numVectors }, () => f.let(constant(0))));
          f.set(innerIndex, i32.const(0));
          f.while(innerIndex, innerSize, 1, () => {
            const bValues = width.load(bPointer);
            for (const [i, pointer] of aPointers.entries()) {
              const aValue = f.let(v128.loadSplat(pointer));
              for (const [j, bValue] of bValues.entries()) {
                const sum = sums[i]![j]!;
                f.set(sum, f32x4.add(sum, f32x4.mul(aValue, bValue)));
              }
              f.advance(pointer, aColumn);
            }
            f.advance(bPointer, bRow);
          });
          for (const rowSums of sums) {
            width.add(cPointer, rowSums);
            f.advance(cPointer, cRow);
          }
        });
      }
    };

    f.while(row, rowEnd, 4, () => {
      strip(4);
    });
    f.while(row, numRows, 1, () => {
      strip(1);
    });
    return undefined;
  },
);

/** Rows and columns of the tile of `multiplyStrips`. */
export const STRIP_ROWS = 4;
export const PANEL_COLUMNS = 8;

/**
 * multiplyStrips(a, b, start, start's row step, c, c's row step, strips, inner size): C = start + A·B for 4 · strips rows
 * and 8 columns, steps in bytes: a step of 0 starts every row with the same values. A holds for each strip the inner size
 * times 4 values, one of each row; B holds the inner size times 8 values.
 */
export const multiplyStrips = defineFunction(
  'multiplyStrips',
  ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  (f, [a, b, start, startRow, c, cRow, numStrips, innerSize]) => {
    const strip = f.let(i32.const(0));
    const aPointer = f.let(a);
    const startPointer = f.let(start);
    const cPointer = f.let(c);
    const bEnd = f.let(i32.add(b, i32.mul(innerSize, i32.const(4 * PANEL_COLUMNS))));
    f.while(strip, numStrips, 1, () => {
      const sums: (readonly [Local<'v128'>, Local<'v128'>])[] = [];
      for (let i = 0; i < STRIP_ROWS; i += 1) {
        sums.push([f.let(v128.load(startPointer)), f.let(v128.load(startPointer, 16))]);
        f.advance(startPointer, startRow);
      }
      const bPointer = f.let(b);
      f.while(bPointer, bEnd, 4 * PANEL_COLUMNS, () => {
        const left = f.let(v128.load(bPointer));
        const right = f.let(v128.load(bPointer, 16));
        for (const [i, [leftSum, rightSum]] of sums.entries()) {
          const value = f.let(v128.loadSplat(aPointer, 4 * i));
          f.set(leftSum, f32x4.add(leftSum, f32x4.mul(value, left)));
          f.set(rightSum, f32x4.add(rightSum, f32x4.mul(value, right)));
        }
        f.advance(aPointer, i32.const(4 * STRIP_ROWS));
      });
      for (const [leftSum, rightSum] of sums) {
        f.emit(v128.store(cPointer, leftSum));
        f.emit(v128.store(cPointer, rightSum, 16));
        f.advance(cPointer, cRow);
      }
    });
    return undefined;
  },
);

/** Rows that are packed at a time: with four columns, a whole line of the processor's cache. */
const PACKED_ROWS = 4;

/** packStrips(x, x's row step, y, strips, inner size): what `multiplyStrips` takes for A, from Aᵀ */
export const packStrips = packing('packStrips', STRIP_ROWS);
/** packPanels(x, x's row step, y, panels, inner size): what `multiplyStrips` takes for B, several panels, from B */
export const packPanels = packing('packPanels', PANEL_COLUMNS);

/** Cuts a matrix into groups of columns, each contiguous; the matrix is read along its rows, as memory likes it. */
function packing<N extends string>(name: N, columns: number) {
  return defineFunction(name, ['i32', 'i32', 'i32', 'i32', 'i32'], (f, [x, xRow, y, numGroups, numRows]) => {
    const offsets = Array.from({ length: columns / 4 }, (_, i) => 16 * i);
    const groupBytes = f.let(i32.mul(numRows, i32.const(4 * columns)));
    const row = f.let(i32.const(0));
    const wholeRows = f.let(i32.and(numRows, i32.const(-PACKED_ROWS)));
    const source = f.let(x);
    const target = f.let(y);
    const group = f.let(i32.const(0));
    const pack = (rows: number) => {
      const sources = Array.from({ length: rows }, () => {
        const pointer = f.let(source);
        f.advance(source, xRow);
        return pointer;
      });
      const groupTarget = f.let(target);
      f.set(group, i32.const(0));
      f.while(group, numGroups, 1, () => {
        for (const [i, pointer] of sources.entries()) {
          for (const offset of offsets) {
            f.emit(v128.store(groupTarget, v128.load(pointer, offset), 4 * columns * i + offset));
          }
          f.advance(pointer, i32.const(4 * columns));
        }
        f.advance(groupTarget, groupBytes);
      });
      f.advance(target, i32.const(4 * columns * rows));
    };
    f.while(row, wholeRows, PACKED_ROWS, () => {
      pack(PACKED_ROWS);
    });
    f.while(row, numRows, 1, () => {
      pack(1);
    });
    return undefined;
  });
}

/** copyRows(x, x's row step, y, y's row step, rows, columns), steps in bytes */
export const copyRows = defineFunction(
  'copyRows',
  ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  (f, [x, xRow, y, yRow, numRows, numColumns]) => {
    const row = f.let(i32.const(0));
    const source = f.let(x);
    const target = f.let(y);
    f.while(row, numRows, 1, () => {
      forEachLane(f, numColumns, (lanes, offset) => {
        f.emit(lanes.store(i32.add(target, offset), lanes.load(i32.add(source, offset))));
      });
      f.advance(source, xRow);
      f.advance(target, yRow);
    });
    return undefined;
  },
);

function tileWidths(f: FunctionBuilder): readonly TileWidth[] {
  return [
    {
      columns: 8,
      load: (address) => [f.let(v128.load(address)), f.let(v128.load(address, 16))],
      add: (address, [first, second]) => {
        f.emit(v128.store(address, f32x4.add(v128.load(address), first!)));
        f.emit(v128.store(address, f32x4.add(v128.load(address, 16), second!), 16));
      },
    },
    {
      columns: 4,
      load: (address) => [f.let(v128.load(address))],
      add: (address, [only]) => {
        f.emit(v128.store(address, f32x4.add(v128.load(address), only!)));
      },
    },
    {
      columns: 1,
      load: (address) => [f.let(v128.loadFirst(address))],
      add: (address, [only]) => {
        f.emit(v128.storeFirst(address, f32x4.add(v128.loadFirst(address), only!)));
      },
    },
  ];
}

/** transpose(x, x's row step, y, y's row step, rows, columns of x): y = xᵀ, steps in bytes */
export const transpose = defineFunction(
  'transpose',
  ['i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  (f, [x, xRow, y, yRow, numRows, numColumns]) => {
    const row = f.let(i32.const(0));
    const rowEnd = f.let(i32.and(numRows, i32.const(-4)));
    const columnEnd = f.let(i32.and(numColumns, i32.const(-4)));
    const column = f.let(i32.const(0));
    const source = f.let(x);
    const target = f.let(y);
    const at = (pointer: Local<'i32'>, step: I32, index: number) =>
      i32.add(pointer, i32.mul(step, i32.const(index)));
    const single = () => {
      f.emit(f32.store(target, f32.load(source)));
      f.advance(source, i32.const(4));
      f.advance(target, yRow);
    };
    const begin = () => {
      f.set(source, i32.add(x, i32.mul(row, xRow)));
      f.set(target, i32.add(y, bytes(row)));
    };
    f.while(row, rowEnd, 4, () => {
      f.set(column, i32.const(0));
      begin();
      f.while(column, columnEnd, 4, () => {
        const [a, b, c, d] = transpose4(f, [
          f.let(v128.load(source)),
          f.let(v128.load(at(source, xRow, 1))),
          f.let(v128.load(at(source, xRow, 2))),
          f.let(v128.load(at(source, xRow, 3))),
        ]);
        for (const value of [a, b, c, d]) {
          f.emit(v128.store(target, value));
          f.advance(target, yRow);
        }
        f.advance(source, i32.const(16));
      });
      f.while(column, numColumns, 1, () => {
        for (let i = 0; i < 4; i += 1) {
          f.emit(f32.store(i32.add(target, i32.const(4 * i)), f32.load(at(source, xRow, i))));
        }
        f.advance(source, i32.const(4));
        f.advance(target, yRow);
      });
    });
    f.while(row, numRows, 1, () => {
      f.set(column, i32.const(0));
      begin();
      f.while(column, numColumns, 1, single);
    });
    return undefined;
  },
);
