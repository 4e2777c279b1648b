import { defineFunction, f32, f32x4, type I32, i32 } from '../../../pipeline/index.ts';
import { bytes, constant, forEachLane, sumOfLanes } from './lanes.ts';

const reciprocal = (count: I32) => f32.div(f32.const(1), f32.convertU(count));

/** layerNorm(x, gain, bias, y, normalised, rstd, rows, columns, ε); see ops/layer-norm.ts */
export const layerNorm = defineFunction(
  'layerNorm',
  ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'f32'],
  (f, [x, gain, bias, y, normalised, rstd, numRows, numColumns, epsilon]) => {
    const row = f.let(i32.const(0));
    const rowOffset = f.let(i32.const(0));
    const rowBytes = f.let(bytes(numColumns));
    const share = f.let(reciprocal(numColumns));
    f.while(row, numRows, 1, () => {
      const source = f.let(i32.add(x, rowOffset));
      const sums = f.let(constant(0));
      forEachLane(f, numColumns, (lanes, offset) => {
        f.set(sums, f32x4.add(sums, lanes.load(i32.add(source, offset))));
      });
      const mean = f.let(f32x4.splat(f32.mul(sumOfLanes(sums), share)));
      const squares = f.let(constant(0));
      forEachLane(f, numColumns, (lanes, offset) => {
        const centred = f.let(lanes.only(f32x4.sub(lanes.load(i32.add(source, offset)), mean)));
        f.set(squares, f32x4.add(squares, f32x4.mul(centred, centred)));
      });
      const variance = f32.mul(sumOfLanes(squares), share);
      const scale = f.let(f32.div(f32.const(1), f32.sqrt(f32.add(variance, epsilon))));
      f.emit(f32.store(i32.add(rstd, bytes(row)), scale));
      const scales = f.let(f32x4.splat(scale));
      const target = f.let(i32.add(y, rowOffset));
      const normalisedRow = f.let(i32.add(normalised, rowOffset));
      forEachLane(f, numColumns, (lanes, offset) => {
        const centred = f32x4.sub(lanes.load(i32.add(source, offset)), mean);
        const value = f.let(f32x4.mul(centred, scales));
        f.emit(lanes.store(i32.add(normalisedRow, offset), value));
        const scaled = f32x4.mul(value, lanes.load(i32.add(gain, offset)));
        f.emit(lanes.store(i32.add(target, offset), f32x4.add(scaled, lanes.load(i32.add(bias, offset)))));
      });
      f.advance(rowOffset, rowBytes);
    });
    return undefined;
  },
);

/** layerNormGradient(dy, normalised, rstd, gain, dx, dGain, dBias, rows, columns); adds to dGain and dBias */
export const layerNormGradient = defineFunction(
  'layerNormGradient',
  ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'],
  (f, [dy, normalised, rstd, gain, dx, dGain, dBias, numRows, numColumns]) => {
    const row = f.let(i32.const(0));
    const rowOffset = f.let(i32.const(0));
    const rowBytes = f.let(bytes(numColumns));
    const share = f.let(reciprocal(numColumns));
    f.while(row, numRows, 1, () => {
      const gradients = f.let(i32.add(dy, rowOffset));
      const values = f.let(i32.add(normalised, rowOffset));
      const target = f.let(i32.add(dx, rowOffset));
      const sums = f.let(constant(0));
      const products = f.let(constant(0));
      forEachLane(f, numColumns, (lanes, offset) => {
        const gradient = f.let(lanes.load(i32.add(gradients, offset)));
        const value = f.let(lanes.load(i32.add(values, offset)));
        const scaled = f.let(f32x4.mul(gradient, lanes.load(i32.add(gain, offset))));
        f.set(sums, f32x4.add(sums, scaled));
        f.set(products, f32x4.add(products, f32x4.mul(scaled, value)));
        const toGain = i32.add(dGain, offset);
        f.emit(lanes.store(toGain, f32x4.add(lanes.load(toGain), f32x4.mul(gradient, value))));
        const toBias = i32.add(dBias, offset);
        f.emit(lanes.store(toBias, f32x4.add(lanes.load(toBias), gradient)));
      });
      const mean = f.let(f32x4.splat(f32.mul(sumOfLanes(sums), share)));
      const projection = f.let(f32x4.splat(f32.mul(sumOfLanes(products), share)));
      const scales = f.let(f32x4.splat(f32.load(i32.add(rstd, bytes(row)))));
      forEachLane(f, numColumns, (lanes, offset) => {
        const gradient = lanes.load(i32.add(gradients, offset));
        const scaled = f32x4.mul(gradient, lanes.load(i32.add(gain, offset)));
        const along = f32x4.mul(lanes.load(i32.add(values, offset)), projection);
        const across = f32x4.sub(f32x4.sub(scaled, mean), along);
        f.emit(lanes.store(i32.add(target, offset), f32x4.mul(across, scales)));
      });
      f.advance(rowOffset, rowBytes);
    });
    return undefined;
  },
);
