import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf, sha256OfFile, systemCodeOf, TacoError } from '../../pipeline/index.ts';

/** Says in an exported folder what export wrote into it. */
export const recordFile = 'export.json';
export const cardFile = 'README.md';

const fileSchema = z
  .strictObject({
    /** Below the folder, with forward slashes. */
    name: z.string().regex(/^[\w.-]+(?:\/[\w.-]+)*$/),
    bytes: z.int().nonnegative(),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
  })
  .readonly();

const recordSchema = z
  .strictObject({
    version: z.literal(1),
    /** What was exported: a checkpoint's folder, or another model. */
    source: z.string(),
    /** Updates that the model was trained for; null where that is not known. */
    step: z.int().nonnegative().nullable(),
    files: z.array(fileSchema).readonly(),
  })
  .readonly();

export type ExportRecord = z.infer<typeof recordSchema>;
export type ExportedFile = z.infer<typeof fileSchema>;

/** @throws Error in a few words when the text is no record */
function parseRecord(text: string): ExportRecord {
  const parsed = recordSchema.safeParse(JSON.parse(text));
  if (parsed.success) return parsed.data;
  throw new Error('not the record of an export of this version');
}

export function serializeRecord(record: ExportRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/**
 * The record of an exported folder.
 * @throws TacoError `not-found` without one, `corrupt` for another content
 */
export async function readRecord(folder: string): Promise<ExportRecord> {
  const path = join(folder, recordFile);
  try {
    return parseRecord(await readFile(path, 'utf8'));
  } catch (error) {
    const isAbsent = systemCodeOf(error) === 'ENOENT' || systemCodeOf(error) === 'ENOTDIR';
    throw new TacoError(
      isAbsent
        ? `${folder} is no exported model (${recordFile} is missing); make one with npm run export -- runs/x ${folder}`
        : `${path} cannot be read (${messageOf(error)}); export the model again`,
      { code: isAbsent ? 'not-found' : 'corrupt', stage: 'export', path: folder, cause: error },
    );
  }
}

/** What is not as export left it, in a few words; undefined where everything is. */
export async function changeIn(folder: string, file: ExportedFile): Promise<string | undefined> {
  const found = await sha256OfFile(join(folder, ...file.name.split('/')));
  if (found === undefined) return `${file.name} is missing`;
  return found === file.sha256 ? undefined : `${file.name} was changed`;
}

/**
 * Refuses a folder that holds anything that export did not write.
 * @throws TacoError `bad-config`, `disk`
 */
export async function requireReplaceable(folder: string): Promise<void> {
  const refuse = (what: string): TacoError =>
    new TacoError(
      `${folder} ${what}; export replaces only what it wrote itself: choose another folder, or move this one away`,
      { code: 'bad-config', stage: 'export', path: folder },
    );
  let names: readonly string[];
  try {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    names = entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) =>
        join(entry.parentPath, entry.name).slice(join(folder, '/').length).replaceAll('\\', '/'),
      );
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return;
    if (systemCodeOf(error) === 'ENOTDIR') throw refuse('is a file');
    throw new TacoError(`cannot read the folder ${folder}: ${messageOf(error)}`, {
      code: 'disk',
      stage: 'export',
      path: folder,
      cause: error,
    });
  }
  if (names.length === 0) return;
  if (!names.includes(recordFile)) throw refuse(`holds other files (${names[0]!})`);
  const { files } = await readRecord(folder).catch(() => {
    throw refuse(`holds another ${recordFile}`);
  });
  const own = new Set([recordFile, ...files.map(({ name }) => name)]);
  const foreign = names.find((name) => !own.has(name));
  if (foreign !== undefined) throw refuse(`holds other files (${foreign})`);
  for (const file of files) {
    const found = await changeIn(folder, file);
    if (found?.endsWith('was changed') === true) throw refuse(`holds your changes (${found})`);
  }
}
