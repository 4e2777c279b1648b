import { createPermutation, type Permutation } from './permutation.ts';

/** What an order depends on. */
export interface OrderOptions {
  /** Rows of the split, at least 1. */
  readonly numRows: number;
  /** Rows of each row group but the last, which has the rest. */
  readonly rowsPerGroup: number;
  /** Row groups that are shuffled into one another: what a reader must hold to deliver the order. */
  readonly windowGroups: number;
  readonly seed: number;
}

/** A run of consecutive positions whose rows are those of a few row groups. */
export interface OrderWindow {
  readonly epoch: number;
  /** Absolute position of its first row, counted from the beginning of training. */
  readonly start: number;
  readonly numRows: number;
  /** The row groups it is made of, at most `windowGroups`, in the epoch's order of groups. */
  readonly groups: readonly number[];
}

/** A row's place in the split. */
export interface RowPlace {
  readonly group: number;
  /** Row within the group. */
  readonly row: number;
}

/**
 * The endless order of training rows as a function of the position. Each epoch permutes the row groups, cuts
 * that sequence into windows of consecutive groups, and permutes the rows inside each window; every row comes
 * exactly once per epoch. Nothing is stored but the window that was asked for last.
 */
export interface RowOrder {
  /** The window that holds an absolute position. */
  windowAt(position: number): OrderWindow;
  /** Row group and row at an absolute position. */
  placeAt(position: number): RowPlace;
  /** Row within the split at an absolute position: `group * rowsPerGroup + row`. */
  rowAt(position: number): number;
}

/** Parts of keys that keep the two kinds of permutation unrelated. */
const GROUPS_KEY = 1;
const ROWS_KEY = 2;

interface Epoch {
  readonly epoch: number;
  readonly groups: Permutation;
  /** Place of the split's last row group, the only short one, in this epoch's order. */
  readonly shortSlot: number;
}

interface CachedWindow extends OrderWindow {
  readonly rows: Permutation;
  /** Index in `groups` of the short row group; beyond them where it lies in another window. */
  readonly shortIndex: number;
}

/** @throws RangeError unless all three counts are whole numbers of at least 1 */
export function createRowOrder(options: OrderOptions): RowOrder {
  const { numRows, rowsPerGroup, windowGroups, seed } = options;
  for (const [name, value] of Object.entries({ numRows, rowsPerGroup, windowGroups })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new RangeError(`${name} is ${value}, expected a whole number of at least 1`);
    }
  }
  const numGroups = Math.ceil(numRows / rowsPerGroup);
  const shortRows = numRows - (numGroups - 1) * rowsPerGroup;
  const missingRows = rowsPerGroup - shortRows;

  const openEpoch = (epoch: number): Epoch => {
    const groups = createPermutation(numGroups, GROUPS_KEY, seed, epoch);
    return { epoch, groups, shortSlot: groups.invert(numGroups - 1) };
  };
  /** Rows of the epoch before a slot of its order of groups. */
  const rowsBefore = (slot: number, { shortSlot }: Epoch): number =>
    slot * rowsPerGroup - (slot > shortSlot ? missingRows : 0);

  const openWindow = (epoch: Epoch, offset: number): CachedWindow => {
    // Only one group is short, so a window begins at most `missingRows` before its regular place.
    let index = Math.floor(offset / (windowGroups * rowsPerGroup));
    if (offset >= rowsBefore((index + 1) * windowGroups, epoch)) index += 1;
    const firstSlot = index * windowGroups;
    const endSlot = Math.min(firstSlot + windowGroups, numGroups);
    const first = rowsBefore(firstSlot, epoch);
    const count = rowsBefore(endSlot, epoch) - first;
    return {
      epoch: epoch.epoch,
      start: epoch.epoch * numRows + first,
      numRows: count,
      groups: Array.from({ length: endSlot - firstSlot }, (_, i) => epoch.groups.apply(firstSlot + i)),
      rows: createPermutation(count, ROWS_KEY, seed, epoch.epoch, index),
      shortIndex: epoch.shortSlot < firstSlot ? Number.POSITIVE_INFINITY : epoch.shortSlot - firstSlot,
    };
  };

  let epoch = openEpoch(0);
  let window: CachedWindow | undefined;
  const findWindow = (position: number): CachedWindow => {
    if (window !== undefined && position >= window.start && position < window.start + window.numRows) {
      return window;
    }
    const number = Math.floor(position / numRows);
    if (number !== epoch.epoch) epoch = openEpoch(number);
    window = openWindow(epoch, position - number * numRows);
    return window;
  };

  const placeAt = (position: number): RowPlace => {
    const { start, rows, groups, shortIndex } = findWindow(position);
    let offset = rows.apply(position - start);
    if (offset >= shortIndex * rowsPerGroup + shortRows) offset += missingRows;
    const index = Math.floor(offset / rowsPerGroup);
    return { group: groups[index]!, row: offset - index * rowsPerGroup };
  };

  return {
    windowAt: findWindow,
    placeAt,
    rowAt(position) {
      const { group, row } = placeAt(position);
      return group * rowsPerGroup + row;
    },
  };
}
