/** @file The few metadata keys of a GGUF that tell people how large a model is and what it reads. */
import type { GgufMetadata, GgufValue } from '@bitsmith/formats';
import { integer } from './units.js';

export interface Dimension {
  readonly label: string;
  readonly value: string;
}

export function dimensions(metadata: GgufMetadata, architecture: string): Dimension[] {
  const number = (key: string): string | null => numberText(metadata.get(`${architecture}.${key}`));
  const heads = number('attention.head_count');
  const keyValueHeads = number('attention.head_count_kv');
  const experts = number('expert_count');
  const used = number('expert_used_count');
  const facts: [string, string | null][] = [
    ['blocks', number('block_count')],
    ['context', withUnit(number('context_length'), 'tokens')],
    ['embedding', number('embedding_length')],
    ['feed-forward', number('feed_forward_length')],
    [
      'heads',
      heads === null || keyValueHeads === null ? heads : `${heads}, ${keyValueHeads} for keys and values`,
    ],
    ['experts', experts === null || used === null ? experts : `${experts}, ${used} used for a token`],
    ['vocabulary', vocabulary(metadata)],
    ['file type', fileType(metadata)],
  ];
  return facts.flatMap(([label, value]) => (value === null ? [] : [{ label, value }]));
}

function vocabulary(metadata: GgufMetadata): string | null {
  const tokens = metadata.get('tokenizer.ggml.tokens');
  const kinds = [metadata.get('tokenizer.ggml.model'), metadata.get('tokenizer.ggml.pre')].flatMap(
    (value) => {
      return value?.type === 'string' && typeof value.value === 'string' ? [value.value] : [];
    },
  );
  if (tokens?.type !== 'array') return kinds.length > 0 ? kinds.join(', ') : null;
  return `${integer(tokens.value.length)} tokens${kinds.length > 0 ? ` (${kinds.join(', ')})` : ''}`;
}

/** Set where Bitsmith wrote the file. */
function fileType(metadata: GgufMetadata): string | null {
  const version = metadata.get('bitsmith.version');
  return version?.type === 'string' && typeof version.value === 'string'
    ? `written by Bitsmith ${version.value}`
    : null;
}

function withUnit(value: string | null, unit: string): string | null {
  return value === null ? null : `${value} ${unit}`;
}

/** A number; of numbers that differ by block, the smallest and the largest. */
function numberText(value: GgufValue | undefined): string | null {
  if (value === undefined || value.type === 'string' || value.type === 'bool') return null;
  if (value.type !== 'array') return integer(Number(value.value));
  if (value.itemType === 'string' || value.itemType === 'array' || value.itemType === 'bool') return null;
  const numbers = [...value.value].map(Number);
  if (numbers.length === 0) return null;
  const smallest = Math.min(...numbers);
  const largest = Math.max(...numbers);
  return smallest === largest ? integer(smallest) : `${integer(smallest)} to ${integer(largest)}`;
}
