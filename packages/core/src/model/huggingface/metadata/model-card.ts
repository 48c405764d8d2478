/** @file The YAML head of a model's README: what its authors say of it. A card that cannot be read says nothing. */
import { parse } from 'yaml';
import { isJsonObject, type JsonObject, type ModelFolder } from '../folder.js';

/** What ends a line in Python, which this follows. */
const LINE_END = /\r\n|[\n\v\f\r\u0085\u2028\u2029]/u;

export async function readModelCard(folder: ModelFolder, signal?: AbortSignal): Promise<JsonObject> {
  if (!folder.has('README.md')) return {};
  return parseModelCard(await folder.text('README.md', signal));
}

export function parseModelCard(readme: string): JsonObject {
  const lines = readme.split(LINE_END);
  if (lines[0] !== '---') return {};
  const end = lines.indexOf('---', 1);
  const head = `${lines.slice(1, end < 0 ? lines.length : end).join('\n')}\n`
    // `no` is the language Norwegian here, not the opposite of yes; and a tab is not YAML.
    .replaceAll('- no\n', '- "no"\n')
    .replaceAll('\t', '  ');
  try {
    const card: unknown = parse(head, { version: '1.1', uniqueKeys: false, logLevel: 'error' });
    return isJsonObject(card) ? card : {};
  } catch {
    return {};
  }
}
