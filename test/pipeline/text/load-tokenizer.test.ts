import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { BERT_BASE_UNCASED_SHA256, builtinTokenizer } from '../../../pipeline/text/builtin-vocabulary.ts';
import { loadTokenizer, type TokenizerFiles } from '../../../pipeline/text/load-tokenizer.ts';
import { tokenizerFilesOf } from '../../../pipeline/text/tokenizer-files.ts';
import { createSpec, tokenizerFingerprint } from '../../../pipeline/text/vocabulary.ts';
import { createTokenizer } from '../../../pipeline/text/wordpiece.ts';
import { temporaryFolder } from '../../support/folders.ts';

const TINY = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', '##b', 'É', '中'];
const VOCAB_TEXT = `${TINY.join('\n')}\n`;

/** No test may reach for the Hub but those that say so. */
const noHub: TokenizerFiles = {
  fetchHubFile: (repo) => Promise.reject(new Error(`asked the Hub for ${repo}`)),
};

/** A Hub of files by `repo@revision/path`. */
function hubOf(files: Readonly<Record<string, string>>): TokenizerFiles & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    fetchHubFile(repo, path, revision) {
      const name = `${repo}@${revision ?? 'main'}/${path}`;
      asked.push(name);
      const text = files[name];
      return Promise.resolve(text === undefined ? null : new TextEncoder().encode(text));
    },
  };
}

async function folderOf(
  files: ReadonlyMap<string, string> | Readonly<Record<string, string>>,
): Promise<string> {
  const folder = await temporaryFolder();
  const entries = files instanceof Map ? [...files] : Object.entries(files);
  await Promise.all(entries.map(([name, text]: [string, string]) => writeFile(join(folder, name), text)));
  return folder;
}

const tinyJson = (change: (json: Record<string, unknown>) => void): string => {
  const json = JSON.parse(
    tokenizerFilesOf(createSpec({ vocabulary: TINY })).get('tokenizer.json')!,
  ) as Record<string, unknown>;
  change(json);
  return JSON.stringify(json);
};

describe('the built-in vocabulary', () => {
  test('is the original, byte for byte', () => {
    const spec = builtinTokenizer();
    expect(spec.sha256).toBe(BERT_BASE_UNCASED_SHA256);
    expect(spec.sha256).toBe('07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3');
    expect(spec.vocabulary).toHaveLength(30_522);
    expect(spec.specialTokenIds).toEqual({ pad: 0, unk: 100, cls: 101, sep: 102, mask: 103 });
    expect([1, 2, 1996, 2015, 30_521].map((id) => spec.vocabulary[id])).toEqual([
      '[unused0]',
      '[unused1]',
      'the',
      '##s',
      '##～',
    ]);
  });

  test('is what its bare name means, without the Hub', async () => {
    expect(await loadTokenizer('bert-base-uncased', noHub)).toEqual(builtinTokenizer());
  });
});

describe('folders and files', () => {
  test('vocab.txt alone is uncased', async () => {
    const spec = await loadTokenizer(await folderOf({ 'vocab.txt': VOCAB_TEXT }), noHub);
    expect(spec).toEqual(createSpec({ vocabulary: TINY }));
    expect(spec).toMatchObject({ lowercase: true, stripAccents: true, handleChineseChars: true });
  });

  test('tokenizer_config.json decides case, accents, ideographs and names of special tokens', async () => {
    const vocabulary = ['<pad>', '<unk>', '<s>', '</s>', '<mask>', 'a'];
    const folder = await folderOf({
      'vocab.txt': vocabulary.join('\n'),
      'tokenizer_config.json': JSON.stringify({
        do_lower_case: false,
        strip_accents: null,
        tokenize_chinese_chars: false,
        pad_token: '<pad>',
        unk_token: '<unk>',
        cls_token: { content: '<s>', lstrip: false },
        sep_token: '</s>',
        mask_token: '<mask>',
        added_tokens_decoder: { 4: { content: '<mask>', lstrip: true, normalized: false, special: true } },
        model_max_length: 512,
      }),
    });
    const spec = await loadTokenizer(folder, noHub);
    expect(spec).toMatchObject({ lowercase: false, stripAccents: false, handleChineseChars: false });
    expect(spec.specialTokenIds).toEqual({ pad: 0, unk: 1, cls: 2, sep: 3, mask: 4 });
    expect(spec.specialTokens[4]).toMatchObject({ content: '<mask>', lstrip: true, special: true });
  });

  test('a file by any name', async () => {
    const folder = await folderOf({ 'words.txt': VOCAB_TEXT, 'bert.json': tinyJson(() => undefined) });
    const expected = createSpec({ vocabulary: TINY });
    expect(await loadTokenizer(join(folder, 'words.txt'), noHub)).toEqual(expected);
    expect(await loadTokenizer(join(folder, 'bert.json'), noHub)).toEqual(expected);
  });

  test('Windows line ends, white space at the end of lines and a missing last line feed', async () => {
    const folder = await folderOf({ 'vocab.txt': VOCAB_TEXT.replaceAll('\n', ' \r\n').trimEnd() });
    expect(await loadTokenizer(folder, noHub)).toEqual(createSpec({ vocabulary: TINY }));
  });

  test('of a token that stands twice, the last counts', async () => {
    const folder = await folderOf({ 'vocab.txt': `${VOCAB_TEXT}a\n` });
    const spec = await loadTokenizer(folder, noHub);
    expect(Array.from(createTokenizer(spec).encode('a'))).toEqual([9]);
    expect(spec.vocabulary[5]).toBe('');
  });

  test('what is written reads back as it was, with every setting', async () => {
    const added = { special: false, singleWord: true, lstrip: true, rstrip: true, normalized: true };
    const specs = [
      createSpec({ vocabulary: TINY }),
      createSpec({ vocabulary: [...TINY, 'a'] }),
      createSpec({
        vocabulary: TINY,
        lowercase: false,
        stripAccents: true,
        handleChineseChars: false,
        cleanText: false,
        maxInputCharsPerWord: 7,
        continuingPrefix: '#',
        addedTokens: [{ ...added, content: 'new', id: TINY.length }],
      }),
    ];
    for (const spec of specs) {
      const read = await loadTokenizer(await folderOf(tokenizerFilesOf(spec)), noHub);
      expect(read).toEqual(spec);
      expect(tokenizerFingerprint(read)).toBe(tokenizerFingerprint(spec));
    }
    expect(new Set(specs.map(tokenizerFingerprint)).size).toBe(3);
  });
});

describe('the Hub', () => {
  test('tokenizer.json first, with the revision', async () => {
    const hub = hubOf({ 'org/name@v1/tokenizer.json': tinyJson(() => undefined) });
    expect(await loadTokenizer('org/name@v1', hub)).toEqual(createSpec({ vocabulary: TINY }));
    expect(hub.asked.toSorted()).toEqual(['org/name@v1/tokenizer.json', 'org/name@v1/tokenizer_config.json']);
  });

  test('otherwise vocab.txt', async () => {
    const hub = hubOf({
      'org/name@main/vocab.txt': VOCAB_TEXT,
      'org/name@main/tokenizer_config.json': '{"do_lower_case": false}',
    });
    const spec = await loadTokenizer('org/name', hub);
    expect(spec.lowercase).toBe(false);
  });

  test('a folder of the same name goes before it', async () => {
    const root = await temporaryFolder();
    await mkdir(join(root, 'org/name'), { recursive: true });
    const source = await folderOf({ 'vocab.txt': VOCAB_TEXT });
    await copyFile(join(source, 'vocab.txt'), join(root, 'org/name/vocab.txt'));
    const before = process.cwd();
    // Forked test processes have a working directory of their own.
    process.chdir(root);
    try {
      expect(await loadTokenizer('org/name', noHub)).toEqual(createSpec({ vocabulary: TINY }));
    } finally {
      process.chdir(before);
    }
  });

  test('errors of the Hub go through', async () => {
    await expect(loadTokenizer('org/name', noHub)).rejects.toThrow('asked the Hub for org/name');
  });
});

describe('mistakes are named in one line', () => {
  const json = (change: (json: Record<string, unknown>) => void) => ({ 'tokenizer.json': tinyJson(change) });
  const model = { type: 'WordPiece', vocab: { '[PAD]': 0 } };
  test.each([
    ['no file', {}, 'not-found', /has neither tokenizer.json nor vocab.txt, expected one of them/],
    ['an empty vocabulary', { 'vocab.txt': '' }, 'bad-config', /vocab.txt: the vocabulary is empty/],
    [
      'no mask token',
      { 'vocab.txt': VOCAB_TEXT.replace('[MASK]', 'mask') },
      'bad-config',
      /vocab.txt: the vocabulary has no \[MASK\] token, expected the five tokens of BERT/,
    ],
    ['not JSON', { 'tokenizer.json': '{' }, 'corrupt', /tokenizer.json is not JSON/],
    ['another shape', { 'tokenizer.json': '{"model": 3}' }, 'corrupt', /tokenizer.json: model: .*expected/],
    [
      'another model',
      json((it) => {
        it.model = { type: 'BPE' };
      }),
      'bad-config',
      /model is BPE, expected WordPiece; only BERT's WordPiece tokenizers can be used/,
    ],
    [
      'another normaliser',
      json((it) => {
        it.normalizer = { type: 'NFC' };
      }),
      'bad-config',
      /normalizer is NFC, expected BertNormalizer/,
    ],
    [
      'no pre-tokenizer',
      json((it) => {
        it.pre_tokenizer = null;
      }),
      'bad-config',
      /pre_tokenizer is missing, expected BertPreTokenizer/,
    ],
    [
      'an id twice',
      json((it) => {
        it.model = { ...model, vocab: { a: 0, b: 0 } };
      }),
      'corrupt',
      /id 0 stands for "a" and "b", expected one token/,
    ],
    [
      'an id far away',
      json((it) => {
        it.model = { ...model, vocab: { a: 0, b: 1e9 } };
      }),
      'corrupt',
      /token "b" has id 1000000000, expected a whole number below 2/,
    ],
    [
      'a list for a vocabulary',
      json((it) => {
        it.model = { ...model, vocab: ['a'] };
      }),
      'corrupt',
      /model.vocab is a list, expected an object from tokens to ids/,
    ],
    [
      'an added token out of place',
      json((it) => {
        it.added_tokens = [{ id: 50, content: 'x' }];
      }),
      'bad-config',
      /added token "x" has id 50, expected its place in the vocabulary or the next free id 9/,
    ],
    [
      'no room for words',
      json((it) => {
        it.model = { ...(it.model as object), max_input_chars_per_word: 0 };
      }),
      'bad-config',
      /max_input_chars_per_word is 0, expected a whole number from 1 to 65536/,
    ],
  ])('%s', async (_, files, code, message) => {
    const folder = await folderOf(files);
    const error: unknown = await loadTokenizer(folder, noHub).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: 'TacoError', code, stage: 'tokenizer' });
    expect(String(error)).toMatch(message);
    expect(String(error)).not.toContain('\n');
  });

  test('bytes that are not UTF-8', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'vocab.txt'), Uint8Array.of(0xff, 0x0a));
    await expect(loadTokenizer(folder, noHub)).rejects.toThrow(/vocab.txt is not UTF-8 text/);
  });

  test('a name that is nothing', async () => {
    await expect(loadTokenizer('nothing here', noHub)).rejects.toMatchObject({
      code: 'not-found',
      message:
        'tokenizer "nothing here" is no file or folder, expected one, or a Hub model as org/name[@revision], or bert-base-uncased',
    });
  });
});
