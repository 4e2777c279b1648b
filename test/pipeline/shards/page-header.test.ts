import { createRequire } from 'node:module';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type PageFacts, pageHeader } from '../../../pipeline/shards/page-header.ts';

type Structure = new () => object;
const require = createRequire(import.meta.url);
const { PageHeader, DataPageHeaderV2 } = require('parquetjs-lite/gen-nodejs/parquet_types.js') as Record<
  'PageHeader' | 'DataPageHeaderV2',
  Structure
>;
const { serializeThrift } = require('parquetjs-lite/lib/util.js') as {
  serializeThrift: (structure: object) => Buffer;
};

/** As parquetjs-lite's code writes it, which was generated from the format's definition. */
function generatedHeader(facts: PageFacts): Buffer {
  const bodyBytes = facts.repetitionBytes + facts.definitionBytes + facts.valuesBytes;
  const details = Object.assign(new DataPageHeaderV2(), {
    num_values: facts.numValues,
    num_nulls: 0,
    num_rows: facts.numRows,
    encoding: facts.encoding,
    definition_levels_byte_length: facts.definitionBytes,
    repetition_levels_byte_length: facts.repetitionBytes,
    is_compressed: false,
  });
  return serializeThrift(
    Object.assign(new PageHeader(), {
      type: 3,
      uncompressed_page_size: bodyBytes,
      compressed_page_size: bodyBytes,
      crc: facts.crc | 0,
      data_page_header_v2: details,
    }),
  );
}

test('headers are those of the code that is generated from the definition of the format', () => {
  const facts = fc.record({
    numRows: fc.nat(),
    numValues: fc.nat(),
    encoding: fc.nat(9),
    repetitionBytes: fc.nat(1 << 28),
    definitionBytes: fc.nat(1 << 28),
    valuesBytes: fc.nat(1 << 30),
    crc: fc.nat(2 ** 32 - 1),
  });
  fc.assert(
    fc.property(facts, (some) => {
      expect(Buffer.from(pageHeader(some))).toEqual(generatedHeader(some));
    }),
    { examples: [0, 63, 64, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 64, 2 ** 32 - 1].map(exampleWith) },
  );
});

function exampleWith(crc: number): [PageFacts] {
  return [
    { numRows: 1, numValues: 1, encoding: 5, repetitionBytes: 0, definitionBytes: 0, valuesBytes: 0, crc },
  ];
}
