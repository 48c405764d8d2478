/**
 * @file JSON as hostile input: `JSON.parse` keeps the last of two equal keys without a word, so an object whose keys repeat
 * would mean one thing here and another to a reader that keeps the first. It also lets escapes spell half a character. This
 * parser refuses both.
 */
import { quote } from './quote.js';
import { isWellFormed } from './utf8.js';

export type JsonObject = { readonly [key: string]: unknown };

export type StrictJson = { readonly value: unknown } | { readonly problem: string };

/** Parses JSON text; syntax errors, repeated keys and lone surrogates are returned as a problem in words. */
export function parseStrictJson(text: string): StrictJson {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return { problem: error instanceof Error ? error.message : String(error) };
  }
  const problem = findProblem(text);
  return problem === undefined ? { value } : { problem };
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Scans text that `JSON.parse` accepts. */
function findProblem(text: string): string | undefined {
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
        const value = stringValue(text.slice(index, end + 1));
        if (!isWellFormed(value)) return `the string ${quote(value)} holds a lone surrogate`;
        const keys = expectsKey ? open.at(-1) : undefined;
        if (keys?.has(value)) return `the key ${quote(value)} appears twice in one object`;
        keys?.add(value);
        expectsKey = false;
        index = end;
        break;
      }
      default:
    }
  }
  return undefined;
}

function stringValue(quoted: string): string {
  return quoted.includes('\\') ? (JSON.parse(quoted) as string) : quoted.slice(1, -1);
}

function endOfString(text: string, start: number): number {
  let index = start + 1;
  while (text[index] !== '"') index += text[index] === '\\' ? 2 : 1;
  return index;
}
