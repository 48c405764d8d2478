/** @file The merges of a BPE vocabulary, as pairs with one space between: from tokenizer.json, else from merges.txt. */
import { BitsmithError } from '@bitsmith/formats';
import { isJsonObject, type JsonObject, type ModelFolder } from '../folder.js';

export async function readMerges(
  folder: ModelFolder,
  tokenizer: JsonObject | undefined,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const model = isJsonObject(tokenizer?.model) ? tokenizer.model : {};
  const merges = Array.isArray(model.merges) ? merged(model.merges) : [];
  if (merges.length > 0 || !folder.has('merges.txt')) return merges;
  return mergesFromText(await folder.text('merges.txt', signal));
}

function merged(merges: readonly unknown[]): readonly string[] {
  if (merges.every((merge) => typeof merge === 'string')) return merges;
  return merges.map((pair) => {
    if (!Array.isArray(pair) || pair.length !== 2 || !pair.every((part) => typeof part === 'string')) {
      throw new BitsmithError(
        'validation',
        'TOKENIZER_MERGES',
        'tokenizer.json has a merge that is not a pair',
        {
          expected: 'pairs of tokens, as "a b" or as ["a", "b"]',
          found: JSON.stringify(pair),
          suggestion: "Restore the model's tokenizer.json.",
        },
      );
    }
    // A space inside a part would be taken for the space between the parts.
    return pair.map((part) => part.replaceAll(' ', '\u0120')).join(' ');
  });
}

function mergesFromText(text: string): readonly string[] {
  const lines = text.split('\n');
  const body = lines[0].trim().startsWith('#') ? lines.slice(1) : lines;
  return body
    .map((line) => line.trim().split(/\s+/))
    .filter((parts) => parts.length === 2)
    .map((parts) => parts.join(' '));
}
