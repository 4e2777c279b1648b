import { PANEL_COLUMNS, STRIP_ROWS } from './simd/matrix.ts';
import type { SimdFunctions } from './simd/module.ts';
import type { WasmCall } from './wasm-call.ts';

/** A matrix in the backend's memory, row-major. */
export interface HeapMatrix {
  readonly address: number;
  /** Of the product's operand, after transposition. */
  readonly numRows: number;
  readonly numColumns: number;
  /** Whether the memory holds the operand's transpose. */
  readonly isTransposed: boolean;
}

/** Inner size of a block: a panel of B, 8 KB, stays in the first-level cache. */
const BLOCK_INNER = 256;
/** Rows of a block: the strips of A, 256 KB, stay in the second-level cache. */
const BLOCK_ROWS = 256;
const PANEL_ROW_BYTES = 4 * PANEL_COLUMNS;

/**
 * C = A·B + bias, blocked and packed as in Goto, van de Geijn (2008), "Anatomy of high-performance matrix multiplication".
 * Transposed operands cost nothing extra, since packing copies them anyway.
 * @param c address of C, whose content does not matter
 * @param bias address of as many values as C has columns
 */
export function product(
  call: WasmCall,
  a: HeapMatrix,
  b: HeapMatrix,
  c: number,
  bias: number | undefined,
): void {
  const { simd } = call;
  const { numRows, numColumns: innerSize } = a;
  const { numColumns } = b;
  const numPanels = Math.ceil(numColumns / PANEL_COLUMNS);
  const isSingleBlock = numRows <= BLOCK_ROWS;
  const buffers = [
    call.allocate([BLOCK_ROWS * BLOCK_INNER]),
    // With one block of rows each panel is used once, so one at a time is packed.
    call.allocate([(isSingleBlock ? 1 : numPanels) * BLOCK_INNER * PANEL_COLUMNS]),
    call.allocate([BLOCK_ROWS * PANEL_COLUMNS]),
    call.zeros([numPanels * PANEL_COLUMNS]),
  ];
  const [strips, panels, tile, firstRow] = buffers.map((buffer) => call.address(buffer)) as [
    ...[number, number, number, number],
  ];
  if (bias !== undefined) simd.copyRows(bias, 0, firstRow, 0, 1, numColumns);

  for (let inner = 0; inner === 0 || inner < innerSize; inner += BLOCK_INNER) {
    const depth = Math.min(BLOCK_INNER, innerSize - inner);
    const isFirst = inner === 0;
    const panelBytes = depth * PANEL_ROW_BYTES;
    if (!isSingleBlock) packB(simd, b, 0, numPanels, inner, depth, panels);
    for (let row = 0; row < numRows; row += BLOCK_ROWS) {
      const height = Math.min(BLOCK_ROWS, numRows - row);
      packA(simd, a, row, height, inner, depth, strips);
      for (let panel = 0; panel < numPanels; panel += 1) {
        if (isSingleBlock) packB(simd, b, panel, 1, inner, depth, panels);
        const packed = isSingleBlock ? panels : panels + panel * panelBytes;
        const column = panel * PANEL_COLUMNS;
        const width = Math.min(PANEL_COLUMNS, numColumns - column);
        const target = c + 4 * (row * numColumns + column);
        const bytes = 4 * numColumns;
        const start = firstRow + panel * PANEL_ROW_BYTES;
        const numStrips = width === PANEL_COLUMNS ? Math.floor(height / STRIP_ROWS) : 0;
        const [from, fromBytes] = isFirst ? [start, 0] : [target, bytes];
        simd.multiplyStrips(strips, packed, from, fromBytes, target, bytes, numStrips, depth);
        const restRows = height - numStrips * STRIP_ROWS;
        if (restRows === 0) continue;
        // What fills no whole tile is computed on its own, beyond the edges of A and B, and copied.
        const restStrips = strips + 4 * numStrips * STRIP_ROWS * depth;
        const rest = target + numStrips * STRIP_ROWS * bytes;
        if (!isFirst) simd.copyRows(rest, bytes, tile, PANEL_ROW_BYTES, restRows, width);
        const [begin, beginBytes] = isFirst ? [start, 0] : [tile, PANEL_ROW_BYTES];
        const numRest = Math.ceil(restRows / STRIP_ROWS);
        simd.multiplyStrips(restStrips, packed, begin, beginBytes, tile, PANEL_ROW_BYTES, numRest, depth);
        simd.copyRows(tile, PANEL_ROW_BYTES, rest, bytes, restRows, width);
      }
    }
  }
  call.free(...buffers);
}

/** Four rows of A side by side: for each inner index one value of each row. */
function packA(
  simd: SimdFunctions,
  a: HeapMatrix,
  row: number,
  height: number,
  inner: number,
  depth: number,
  target: number,
): void {
  const stripBytes = 4 * STRIP_ROWS * depth;
  const numWhole = a.isTransposed ? Math.floor(height / STRIP_ROWS) : 0;
  if (numWhole > 0) {
    simd.packStrips(a.address + 4 * (inner * a.numRows + row), 4 * a.numRows, target, numWhole, depth);
  }
  for (let start = numWhole * STRIP_ROWS; start < height; start += STRIP_ROWS) {
    const rows = Math.min(STRIP_ROWS, height - start);
    const strip = target + (start / STRIP_ROWS) * stripBytes;
    if (a.isTransposed) {
      const source = a.address + 4 * (inner * a.numRows + row + start);
      simd.copyRows(source, 4 * a.numRows, strip, 4 * STRIP_ROWS, depth, rows);
    } else {
      const source = a.address + 4 * ((row + start) * a.numColumns + inner);
      simd.transpose(source, 4 * a.numColumns, strip, 4 * STRIP_ROWS, rows, depth);
    }
  }
}

/** Eight columns of B in each panel: for each inner index one value of each column. */
function packB(
  simd: SimdFunctions,
  b: HeapMatrix,
  firstPanel: number,
  numPanels: number,
  inner: number,
  depth: number,
  target: number,
): void {
  const firstColumn = firstPanel * PANEL_COLUMNS;
  const numWhole = b.isTransposed
    ? 0
    : Math.min(numPanels, Math.floor((b.numColumns - firstColumn) / PANEL_COLUMNS));
  if (numWhole > 0) {
    const source = b.address + 4 * (inner * b.numColumns + firstColumn);
    simd.packPanels(source, 4 * b.numColumns, target, numWhole, depth);
  }
  for (let panel = numWhole; panel < numPanels; panel += 1) {
    const column = firstColumn + panel * PANEL_COLUMNS;
    const width = Math.min(PANEL_COLUMNS, b.numColumns - column);
    const packed = target + panel * depth * PANEL_ROW_BYTES;
    if (b.isTransposed) {
      const source = b.address + 4 * (column * b.numRows + inner);
      simd.transpose(source, 4 * b.numRows, packed, PANEL_ROW_BYTES, width, depth);
    } else {
      const source = b.address + 4 * (inner * b.numColumns + column);
      simd.copyRows(source, 4 * b.numColumns, packed, PANEL_ROW_BYTES, depth, width);
    }
  }
}
