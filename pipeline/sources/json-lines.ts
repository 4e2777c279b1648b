import { TacoError } from '../errors.ts';

/**
 * The text of one JSON line as UTF-8, null where the field is null.
 * @param line one JSON object; malformed UTF-8 inside is read as U+FFFD
 * @param where file and line, for messages
 * @throws TacoError `corrupt` for what is not a JSON object, `not-found` listing its fields when one is missing
 */
export function textOfJsonLine(line: Uint8Array, field: string, where: () => string): Uint8Array | null {
  const json = Buffer.from(line.buffer, line.byteOffset, line.length).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new TacoError(`${where()} is not JSON (${excerpt(json)}); expected one object a line`, {
      code: 'corrupt',
      stage: 'source',
      path: where(),
      cause: error,
    });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TacoError(`${where()} holds ${excerpt(json)}, expected a JSON object with field ${field}`, {
      code: 'corrupt',
      stage: 'source',
      path: where(),
    });
  }
  const text = Object.entries(value).find(([key]) => key === field)?.[1] as unknown;
  if (text === null) return null;
  if (typeof text !== 'string') {
    const problem =
      text === undefined
        ? `has no field ${field}; its fields are ${Object.keys(value).join(', ')}: name one with #field`
        : `has ${typeof text} in field ${field}, expected text`;
    throw new TacoError(`${where()} ${problem}`, {
      code: text === undefined ? 'not-found' : 'corrupt',
      stage: 'source',
      path: where(),
    });
  }
  return Buffer.from(text, 'utf8');
}

/** Whether a line is only JSON's own blanks. */
export function isBlank(line: Uint8Array): boolean {
  return line.every((byte) => byte === 32 || byte === 9 || byte === 13);
}

function excerpt(text: string): string {
  const short = text.slice(0, 40).replace(/\s+/g, ' ');
  return text.length > 40 ? `${short}…` : short;
}
