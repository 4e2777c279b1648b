import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type HubTables,
  messageOf,
  openHubTables,
  type SourceContext,
  type TableRow,
  systemCodeOf,
  TacoError,
} from '../../pipeline/index.ts';
import { type GlueExample, parseLabel } from './example.ts';
import { type GlueSplit, type GlueTask, isTestSplit, MRPC_CORPUS, MRPC_DEV_IDS } from './tasks.ts';
import { parseTsv } from './tsv.ts';

/** GLUE on the Hub, as its authors keep it. */
export const GLUE_REPOSITORY = 'nyu-mll/glue';

/** Where examples come from. */
export interface GlueData {
  /** For the record of a result: `nyu-mll/glue@<commit>`, or the folder. */
  readonly identity: string;
  /** Whether a split is there. */
  has(split: GlueSplit): Promise<boolean>;
  /**
   * All examples of a split in the order of its files; test splits come without labels.
   * @throws TacoError `not-found` for a split or column that is missing, `corrupt` naming file, row and column
   */
  read(task: GlueTask, split: GlueSplit): Promise<readonly GlueExample[]>;
}

const HUB_REFERENCE = /^(?:hub:)?([A-Za-z0-9][\w.-]*\/[\w.-]+)(?:@([^@\s]+))?$/;

/**
 * Opens GLUE.
 * @param reference a folder of the official files (`CoLA/train.tsv`, …), or a dataset of the Hub laid out like
 *   `nyu-mll/glue`, as `org/name[@revision]`; a folder of that name goes before the Hub
 * @throws TacoError one line, when it is neither
 */
export async function openGlue(reference: string, context: SourceContext): Promise<GlueData> {
  if ((await stat(reference).catch(() => undefined))?.isDirectory() === true) return localGlue(reference);
  const match = HUB_REFERENCE.exec(reference);
  if (match === null) {
    throw new TacoError(
      `GLUE data "${reference}" is no folder, expected one with CoLA/train.tsv and so on, or a dataset of the Hub such as ${GLUE_REPOSITORY}`,
      { code: 'not-found', stage: 'glue', path: reference },
    );
  }
  return hubGlue(await openHubTables(match[1]!, match[2] ?? 'main', context));
}

function hubGlue(tables: HubTables): GlueData {
  const identity = `${tables.repository}@${tables.commit}`;
  const listings = new Map<string, ReturnType<HubTables['list']>>();
  const filesOf = async (split: GlueSplit): ReturnType<HubTables['list']> => {
    const folder = split.hub.slice(0, split.hub.lastIndexOf('/'));
    const listing = listings.get(folder) ?? tables.list(folder);
    listings.set(folder, listing);
    return chooseFiles(await listing, split, tables.repository);
  };
  return {
    identity,
    has: async (split) => (await filesOf(split)).length > 0,
    async read(task, split) {
      const files = await filesOf(split);
      if (files.length === 0) {
        throw notFound(task, split, `${identity} has no ${split.hub}-*.parquet`);
      }
      const hasLabels = !isTestSplit(task, split);
      const columns = [...task.textColumns, 'idx', ...(hasLabels ? ['label'] : [])];
      const examples: GlueExample[] = [];
      for (const file of files) {
        const rows = await tables.read(file, columns);
        for (const [row, values] of rows.entries()) {
          examples.push(
            exampleOf(task, values, hasLabels, `${file.path} of ${tables.repository} row ${row}`),
          );
        }
      }
      return examples;
    },
  };
}

/** The shards of a split in order. @throws TacoError `not-found` where some are missing */
function chooseFiles(
  listed: Awaited<ReturnType<HubTables['list']>>,
  { hub }: GlueSplit,
  repository: string,
): Awaited<ReturnType<HubTables['list']>> {
  const shard = /^-(\d{5})-of-(\d{5})\.parquet$/;
  const files = listed
    .filter(({ path }) => path.startsWith(hub) && shard.test(path.slice(hub.length)))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
  const expected = Number(shard.exec(files[0]?.path.slice(hub.length) ?? '')?.[2] ?? 0);
  if (files.length !== expected) {
    throw new TacoError(
      `${repository} holds ${files.length} of the ${expected} files ${hub}-*.parquet; name a revision that is whole`,
      { code: 'not-found', stage: 'glue', path: hub },
    );
  }
  return files;
}

function exampleOf(task: GlueTask, row: TableRow, hasLabels: boolean, where: string): GlueExample {
  const texts = task.textColumns.map((column) => {
    const text = row[column];
    if (typeof text === 'string') return text;
    throw badValue(where, column, text, 'text');
  });
  const index = Number(row.idx);
  if (!Number.isSafeInteger(index) || index < 0) throw badValue(where, 'idx', row.idx, 'a whole number');
  return { index, texts, label: hasLabels ? parseLabel(task, row.label, `${where}: label`) : undefined };
}

function badValue(where: string, column: string, value: unknown, expected: string): TacoError {
  const got = value === null || value === undefined ? 'missing' : `a ${typeof value}`;
  return new TacoError(`${where}: ${column} is ${got}, expected ${expected}; fetch the file again`, {
    code: 'corrupt',
    stage: 'glue',
  });
}

function localGlue(folder: string): GlueData {
  const find = async (split: GlueSplit): Promise<{ path: string; name: string } | undefined> => {
    for (const name of split.tsv) {
      const path = join(folder, name);
      if ((await stat(path).catch(() => undefined))?.isFile() === true) return { path, name };
    }
    return undefined;
  };
  return {
    identity: folder,
    has: async (split) => (await find(split)) !== undefined,
    async read(task, split) {
      const found = await find(split);
      if (found === undefined) {
        throw notFound(task, split, `${folder} has no ${split.tsv.join(' or ')}`);
      }
      const hasLabels = !isTestSplit(task, split);
      const options = { file: found.path, hasLabels };
      const bytes = await readLocal(found.path);
      if (found.name !== MRPC_CORPUS) return parseTsv(task, bytes, options);
      const devIds = new Set(
        (await readLocal(join(folder, MRPC_DEV_IDS))).toString('utf8').split(/\r\n|\r|\n/),
      );
      const wantsDev = split.name !== 'train';
      return parseTsv(task, bytes, {
        ...options,
        isWanted: (cell) => devIds.has(`${cell('#1 ID')}\t${cell('#2 ID')}`) === wantsDev,
      });
    },
  };
}

async function readLocal(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    const isMissing = systemCodeOf(error) === 'ENOENT';
    throw new TacoError(
      isMissing
        ? `${path} does not exist; it belongs to the official files`
        : `cannot read ${path}: ${messageOf(error)}`,
      { code: isMissing ? 'not-found' : 'disk', stage: 'glue', path, cause: error },
    );
  }
}

function notFound(task: GlueTask, split: GlueSplit, what: string): TacoError {
  return new TacoError(
    `${task.title} has no split ${split.name} here: ${what}; name a folder or dataset that has it`,
    { code: 'not-found', stage: 'glue' },
  );
}
