import type { SimdFunctions } from './simd/module.ts';
import { PANEL_COLUMNS, STRIP_ROWS } from './simd/matrix.ts';
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

/**
 * C += A·B, blocked and packed as in Goto, van de Geijn (2008), "Anatomy of high-performance matrix multiplication".
 * Transposed operands cost nothing extra, since packing copies them anyway.
 * @param c address of C; the product is added to what is there
 */
export function addProduct(call: WasmCall, a: HeapMatrix, b: HeapMatrix, c: number): void {
  const { simd } = call;
  const { numRows, numColumns: innerSize } = a;
  const { numColumns } = b;
  const numPanels = Math.ceil(numColumns / PANEL_COLUMNS);
  const isSingleBlock = numRows <= BLOCK_ROWS;
  const strips = call.allocate([BLOCK_ROWS * BLOCK_INNER]);
  // With one block of rows each panel is used once, so one at a time is packed.
  const panels = call.allocate([(isSingleBlock ? 1 : numPanels) * BLOCK_INNER * PANEL_COLUMNS]);
  const stripsAddress = call.address(strips);
  const panelsAddress = call.address(panels);

  for (let inner = 0; inner < innerSize; inner += BLOCK_INNER) {
    const depth = Math.min(BLOCK_INNER, innerSize - inner);
    const panelBytes = isSingleBlock ? 0 : 4 * depth * PANEL_COLUMNS;
    if (!isSingleBlock) {
      for (let panel = 0; panel < numPanels; panel += 1) {
        packPanel(simd, b, panel, inner, depth, panelsAddress + panel * panelBytes);
      }
    }
    for (let row = 0; row < numRows; row += BLOCK_ROWS) {
      const height = Math.min(BLOCK_ROWS, numRows - row);
      const wholeStrips = Math.floor(height / STRIP_ROWS);
      const restRows = height - wholeStrips * STRIP_ROWS;
      const restStrip = stripsAddress + 4 * wholeStrips * STRIP_ROWS * depth;
      packStrips(simd, a, row, height, inner, depth, stripsAddress);
      for (let panel = 0; panel < numPanels; panel += 1) {
        const column = panel * PANEL_COLUMNS;
        const width = Math.min(PANEL_COLUMNS, numColumns - column);
        const panelAddress = panelsAddress + panel * panelBytes;
        if (isSingleBlock) packPanel(simd, b, panel, inner, depth, panelAddress);
        const target = c + 4 * (row * numColumns + column);
        const fullStrips = width === PANEL_COLUMNS ? wholeStrips : 0;
        simd.multiplyStrips(stripsAddress, panelAddress, target, 4 * numColumns, fullStrips, depth);
        const edge = (strip: number, strips: number, rows: number): void => {
          simd.multiply(
            ...[strip, 4, 4 * STRIP_ROWS],
            ...[panelAddress, 4 * PANEL_COLUMNS],
            ...[target + 4 * strips * STRIP_ROWS * numColumns, 4 * numColumns],
            ...[rows, width, depth],
          );
        };
        for (let strip = fullStrips; strip < wholeStrips; strip += 1) {
          edge(stripsAddress + 4 * strip * STRIP_ROWS * depth, strip, STRIP_ROWS);
        }
        if (restRows > 0) edge(restStrip, wholeStrips, restRows);
      }
    }
  }
  call.free(strips, panels);
}

/** Four rows of A side by side: for each inner index one value of each row. */
function packStrips(
  simd: SimdFunctions,
  a: HeapMatrix,
  row: number,
  height: number,
  inner: number,
  depth: number,
  target: number,
): void {
  const stripBytes = 4 * STRIP_ROWS * depth;
  for (let start = 0; start < height; start += STRIP_ROWS) {
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

/** Eight columns of B: for each inner index one value of each column. */
function packPanel(
  simd: SimdFunctions,
  b: HeapMatrix,
  panel: number,
  inner: number,
  depth: number,
  target: number,
): void {
  const column = panel * PANEL_COLUMNS;
  const width = Math.min(PANEL_COLUMNS, b.numColumns - column);
  if (b.isTransposed) {
    const source = b.address + 4 * (column * b.numRows + inner);
    simd.transpose(source, 4 * b.numRows, target, 4 * PANEL_COLUMNS, width, depth);
  } else {
    const source = b.address + 4 * (inner * b.numColumns + column);
    simd.copyRows(source, 4 * b.numColumns, target, 4 * PANEL_COLUMNS, depth, width);
  }
}
