import {
  type Dataset,
  exact,
  type RowSegment,
  segmentsOf,
  type Split,
  type Tokenizer,
} from '../../pipeline/index.ts';

const TEXT_WIDTH = 96;
const INDENT = '      ';

/**
 * Rows of a split as text, one after another, with the borders of their documents.
 * @param first number of the first row, from 0
 */
export async function* describeRows(
  dataset: Dataset,
  tokenizer: Pick<Tokenizer, 'decode'>,
  split: Split,
  first: number,
  count: number,
): AsyncGenerator<string, void> {
  const { maxSeqLen } = dataset;
  let held: { readonly group: number; readonly ids: ArrayLike<number> } | undefined;
  for (let row = first; row < first + count; row += 1) {
    const place = dataset.placeOf(split, row);
    if (held?.group !== place.group) {
      const { ids } = await dataset.readGroup(split, place.group);
      held = { group: place.group, ids };
    }
    const ids = Array.from(
      { length: maxSeqLen },
      (_, i) => (held as { ids: ArrayLike<number> }).ids[place.row * maxSeqLen + i]!,
    );
    yield describeRow(dataset, tokenizer, ids, `${split} row ${row} of ${exact(dataset.numRows(split))}`);
  }
}

function describeRow(
  { manifest, specialTokenIds }: Dataset,
  tokenizer: Pick<Tokenizer, 'decode'>,
  ids: readonly number[],
  title: string,
): string {
  const { packing } = manifest.settings;
  const segments = segmentsOf(ids, specialTokenIds, packing);
  const numTokens = segments.at(-1)?.end ?? 0;
  const numUnknown = ids.filter((id) => id === specialTokenIds.unk).length;
  const figures = [
    plural(numTokens, 'token'),
    `${ids.length - numTokens} padding`,
    plural(segments.length, 'document'),
    `${numUnknown} unknown`,
  ];
  const lines = [`${title}: ${figures.join(', ')}`];
  for (const [index, segment] of segments.entries()) {
    lines.push(
      `  [${index + 1}] ${headOf(segment)}`,
      ...wrapped(tokenizer.decode(ids.slice(segment.start, segment.end))),
    );
  }
  if (numTokens < ids.length) lines.push(`  [PAD] × ${ids.length - numTokens}`);
  return lines.join('\n');
}

function headOf({ start, end, beganBefore, goesOn }: RowSegment): string {
  const marks = [
    plural(end - start, 'token'),
    ...(beganBefore ? ['began in an earlier row'] : []),
    ...(goesOn ? ['goes on in the next row'] : []),
  ];
  return marks.join(', ');
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** Lines of bounded width, cut at spaces; characters that would move a terminal's cursor are replaced. */
function wrapped(text: string): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.replaceAll(/\p{Cc}/gu, '\uFFFD').split(' ')) {
    if (line !== '' && line.length + 1 + word.length > TEXT_WIDTH) {
      lines.push(INDENT + line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, INDENT + line];
}
