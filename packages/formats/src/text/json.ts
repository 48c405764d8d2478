/**
 * @file JSON as hostile input: `JSON.parse` keeps the last of two equal keys without a word, so an object whose keys repeat
 * would mean one thing here and another to a reader that keeps the first. This parser refuses such text.
 */

export type JsonObject = { readonly [key: string]: unknown };

export type StrictJson = { readonly value: unknown } | { readonly problem: string };

/** Parses JSON text; syntax errors and repeated keys are returned as a problem in words. */
export function parseStrictJson(text: string): StrictJson {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
  const repeated = findRepeatedKey(text);
  return repeated === undefined ? { value } : { problem: `the key ${repeated} appears twice in one object` };
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Scans well-formed JSON for an object that names a key twice. */
function findRepeatedKey(text: string): string | undefined {
  // One entry an open bracket: the keys seen so far in an object, nothing for an array.
  const open: (Set<string> | undefined)[] = [];
  let expectsKey = false;
  for (let index = 0; index < text.length; index++) {
    switch (text[index]) {
      case '{':
        open.push(new Set());
        expectsKey = true;
        break;
      case '[':
        open.push(undefined);
        expectsKey = false;
        break;
      case '}':
      case ']':
        open.pop();
        expectsKey = false;
        break;
      case ',':
        expectsKey = open.at(-1) !== undefined;
        break;
      case '"': {
        const end = endOfString(text, index);
        const keys = open.at(-1);
        if (expectsKey && keys !== undefined) {
          const raw = text.slice(index, end + 1);
          const key = raw.includes('\\') ? (JSON.parse(raw) as string) : raw.slice(1, -1);
          if (keys.has(key)) return JSON.stringify(key);
          keys.add(key);
        }
        expectsKey = false;
        index = end;
        break;
      }
      default:
    }
  }
  return undefined;
}

function endOfString(text: string, start: number): number {
  let index = start + 1;
  while (text[index] !== '"') index += text[index] === '\\' ? 2 : 1;
  return index;
}
