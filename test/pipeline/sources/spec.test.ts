import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSourceSpec, parseSourceSpecs, shortNameOf } from '../../../pipeline/sources/spec.ts';

const base = { weight: undefined };

describe('parseSourceSpec', () => {
  test.each([
    ['sample', { ...base, text: 'sample', kind: 'sample' }],
    [
      'wikipedia',
      {
        ...base,
        text: 'wikipedia',
        kind: 'hub',
        repository: 'wikimedia/wikipedia',
        revision: undefined,
        config: '20231101.en',
        column: 'text',
      },
    ],
    ['wikipedia:20231101.zh-min-nan', { config: '20231101.zh-min-nan' }],
    [
      'bookcorpus',
      { repository: 'bookcorpus/bookcorpus', revision: 'refs/convert/parquet', config: 'plain_text' },
    ],
    ['hub:org/name', { repository: 'org/name', config: undefined, revision: undefined, column: 'text' }],
    [
      'hub:org/name/sample/10BT@refs/pr/7#content',
      { repository: 'org/name', config: 'sample/10BT', revision: 'refs/pr/7', column: 'content' },
    ],
    ['file:a/b*.jsonl.gz', { kind: 'file', pattern: 'a/b*.jsonl.gz', selector: undefined }],
    ['file:odd#name.txt#lines', { pattern: 'odd#name.txt', selector: 'lines' }],
    ['3:wikipedia', { text: 'wikipedia', weight: 3 }],
    ['0.25:file:a.txt', { text: 'file:a.txt', weight: 0.25 }],
  ])('%s', (text, expected) => {
    expect(parseSourceSpec(text)).toMatchObject(expected);
  });

  test.each([
    ['', /is not a source; expected one of wikipedia/],
    ['wikipdia', /is not a source/],
    ['wikipedia:en', /names dump en, expected <date>.<language>/],
    ['hub:name', /is not a Hub dataset; expected hub:org\/name/],
    ['hub:org/na me', /is not a Hub dataset/],
    ['hub:org/../x', /is not a Hub dataset/],
    ['hub:org/name@', /is not a Hub dataset/],
    ['hub:org/name#', /^--source hub:org\/name# ends in # without a column/],
    ['file:', /names no file/],
    ['0:sample', /has weight 0, expected a number above 0/],
  ])('refuses %j', (text, message) => {
    expect(() => parseSourceSpec(text)).toThrow(message);
    expect(() => parseSourceSpec(text)).toThrow(expect.objectContaining({ code: 'bad-config' }) as Error);
  });

  test('a weight never changes what is read', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('sample', 'wikipedia', 'hub:a/b/c@d#e', 'file:x.txt#file'),
        fc.integer({ min: 1, max: 1000 }),
        (text, weight) => {
          expect(parseSourceSpec(`${weight}:${text}`)).toEqual({ ...parseSourceSpec(text), weight });
        },
      ),
    );
  });
});

describe('parseSourceSpecs', () => {
  test('wants a source, and weights for all or none', () => {
    expect(() => parseSourceSpecs([])).toThrow('no source given');
    expect(() => parseSourceSpecs(['2:sample', 'wikipedia'])).toThrow(
      'wikipedia has no weight but others have; give all of them one, for instance 1:wikipedia',
    );
    expect(parseSourceSpecs(['2:sample', '1:wikipedia']).map(({ weight }) => weight)).toEqual([2, 1]);
  });
});

test.each([
  ['sample', 'sample'],
  ['wikipedia:20231101.en', 'wikipedia-20231101.en'],
  ['hub:org/name/config', 'name-config'],
  ['file:data/my books/*.txt', 'my-books'],
  ['file:../a.jsonl.gz', 'a'],
  ['file:*', 'files'],
])('shortNameOf %s', (text, name) => {
  expect(shortNameOf(parseSourceSpec(text))).toBe(name);
});
