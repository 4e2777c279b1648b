import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { messageOf, systemCodeOf, TacoError } from '../errors.ts';
import { BUILTIN_TOKENIZER, builtinTokenizer } from './builtin-vocabulary.ts';
import { type NamedFile, parseTokenizerFiles, readTokenizerFiles } from './tokenizer-files.ts';
import type { TokenizerSpec } from './vocabulary.ts';

/** Access to files of Hub repositories; the network lives with who implements it. */
export interface TokenizerFiles {
  /**
   * Bytes of one file of a model repository, or null when the repository has no such file.
   * @throws TacoError when the repository cannot be read
   */
  fetchHubFile(repo: string, path: string, revision?: string): Promise<Uint8Array | null>;
}

const HUB_REFERENCE = /^([A-Za-z0-9][\w.-]*\/[\w.-]+)(?:@([^@\s]+))?$/;

/**
 * Loads a WordPiece tokenizer.
 * @param reference `bert-base-uncased` (built in, no network), a folder, a `vocab.txt` or `tokenizer.json` file,
 *   or a Hub model `org/name[@revision]`; a folder of that name goes before the Hub
 * @throws TacoError one line with the file concerned
 */
export async function loadTokenizer(reference: string, files: TokenizerFiles): Promise<TokenizerSpec> {
  if (reference === BUILTIN_TOKENIZER) return builtinTokenizer();
  const local = await statOrNull(reference);
  if (local?.isDirectory() === true) {
    return readTokenizerFiles((name) => readOrNull(join(reference, name)), reference);
  }
  if (local?.isFile() === true) return loadFile(reference);

  const match = HUB_REFERENCE.exec(reference);
  if (match === null) {
    throw new TacoError(
      `tokenizer "${reference}" is no file or folder, expected one, or a Hub model as org/name[@revision], or ${BUILTIN_TOKENIZER}`,
      { code: 'not-found', stage: 'tokenizer', path: reference },
    );
  }
  const repo = match[1]!;
  const revision = match[2];
  const fetchFile = async (path: string): Promise<NamedFile | null> => {
    const bytes = await files.fetchHubFile(repo, path, revision);
    return bytes === null ? null : { path: `${reference}/${path}`, bytes };
  };
  const [tokenizerJson, tokenizerConfig] = await Promise.all([
    fetchFile('tokenizer.json'),
    fetchFile('tokenizer_config.json'),
  ]);
  const vocabText = tokenizerJson === null ? await fetchFile('vocab.txt') : null;
  return parseTokenizerFiles({ tokenizerJson, vocabText, tokenizerConfig }, reference);
}

async function loadFile(path: string): Promise<TokenizerSpec> {
  const [content, tokenizerConfig] = await Promise.all([
    readOrNull(path),
    readOrNull(join(dirname(path), 'tokenizer_config.json')),
  ]);
  const isJson = basename(path).endsWith('.json');
  return parseTokenizerFiles(
    { tokenizerJson: isJson ? content : null, vocabText: isJson ? null : content, tokenizerConfig },
    dirname(path),
  );
}

async function statOrNull(path: string): Promise<Awaited<ReturnType<typeof stat>> | null> {
  try {
    return await stat(path);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ENOTDIR') return null;
    throw unreadable(path, error);
  }
}

async function readOrNull(path: string): Promise<NamedFile | null> {
  try {
    return { path, bytes: await readFile(path) };
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return null;
    throw unreadable(path, error);
  }
}

function unreadable(path: string, cause: unknown): TacoError {
  return new TacoError(`cannot read ${path}: ${messageOf(cause)}`, {
    code: 'disk',
    stage: 'tokenizer',
    path,
    cause,
  });
}
