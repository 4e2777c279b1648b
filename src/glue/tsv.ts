import { TacoError } from '../../pipeline/index.ts';
import { type GlueExample, parseLabel } from './example.ts';
import type { GlueTask } from './tasks.ts';

export interface TsvOptions {
  /** For messages. */
  readonly file: string;
  readonly hasLabels: boolean;
  /** Chooses rows by their cells; every row unless given. */
  readonly isWanted?: (cell: (column: string) => string | undefined) => boolean;
}

/**
 * Examples of an official file. Columns are cut at tabs and nowhere else: a quotation mark is a character like others
 * (Python's `csv.QUOTE_NONE`, which the official loaders read with).
 * @param bytes UTF-8, with or without a byte order mark; lines end in \n, \r\n or \r
 * @throws TacoError `not-found` for a column that is missing, `corrupt` for a row that is too short or a bad label
 */
export function parseTsv(task: GlueTask, bytes: Uint8Array, options: TsvOptions): readonly GlueExample[] {
  const { file, hasLabels } = options;
  const lines = decode(bytes, file).split(/\r\n|\r|\n/);
  const columns = headerOf(task, lines, options);
  const firstLine = columns.isHeaderLine ? 1 : 0;
  const examples: GlueExample[] = [];
  let row = 0;
  for (let line = firstLine; line < lines.length; line++) {
    const text = lines[line]!;
    if (text === '') continue;
    const cells = text.split('\t');
    const index = row;
    row += 1;
    if (cells.length < columns.minCells) {
      if (!task.columns.skipsShortRows) throw shortRow(file, line, cells.length, columns);
      continue;
    }
    if (options.isWanted?.((column) => cells[columns.names.indexOf(column)]) === false) continue;
    examples.push({
      index: columns.index === -1 ? index : parseIndex(cells[columns.index]!, file, line),
      texts: columns.texts.map((at) => cells[at]!),
      label: hasLabels
        ? parseLabel(task, cells[columns.label], `${file} line ${line + 1}: ${task.columns.label}`)
        : undefined,
    });
  }
  return examples;
}

/** Places of the columns that are read. */
interface Columns {
  readonly names: readonly string[];
  readonly isHeaderLine: boolean;
  readonly texts: readonly number[];
  readonly label: number;
  /** −1 where rows are counted. */
  readonly index: number;
  readonly minCells: number;
}

function headerOf(task: GlueTask, lines: readonly string[], { file, hasLabels }: TsvOptions): Columns {
  const { texts, label, index, withoutHeader } = task.columns;
  const isHeaderLine = withoutHeader === undefined || !hasLabels;
  const names = isHeaderLine ? (lines[0] ?? '').split('\t') : withoutHeader;
  const placeOf = (column: string): number => {
    const place = names.indexOf(column);
    if (place !== -1) return place;
    const found = names.map((name) => name.slice(0, 40)).slice(0, 20);
    throw new TacoError(
      `${file} line 1 names no column ${column}; it has ${found.join(', ')}: expected the official file of ${task.title}`,
      { code: 'not-found', stage: 'glue', path: file },
    );
  };
  const textPlaces = texts.map(placeOf);
  const labelPlace = hasLabels ? placeOf(label) : -1;
  // Only test files are submitted; the index of others is the number of their row.
  const indexPlace = hasLabels ? -1 : names.indexOf(index);
  const minCells = 1 + Math.max(...textPlaces, labelPlace, indexPlace);
  return { names, isHeaderLine, texts: textPlaces, label: labelPlace, index: indexPlace, minCells };
}

function decode(bytes: Uint8Array, file: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new TacoError(`${file} is not UTF-8 text; fetch it again`, {
      code: 'corrupt',
      stage: 'glue',
      path: file,
      cause: error,
    });
  }
}

function parseIndex(text: string, file: string, line: number): number {
  const index = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(index)) return index;
  throw new TacoError(
    `${file} line ${line + 1}: the index is "${text.slice(0, 40)}", expected a whole number; fetch the file again`,
    { code: 'corrupt', stage: 'glue', path: file },
  );
}

function shortRow(file: string, line: number, numCells: number, { names, minCells }: Columns): TacoError {
  return new TacoError(
    `${file} line ${line + 1} has ${numCells} columns and none for ${names[numCells]!}, expected at least ${minCells} with tabs between; fetch the file again`,
    { code: 'corrupt', stage: 'glue', path: file },
  );
}
