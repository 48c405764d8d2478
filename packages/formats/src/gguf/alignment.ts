import { ggufError } from './fail.js';
import { ALIGNMENT_KEY, DEFAULT_ALIGNMENT, MAX_ALIGNMENT } from './limits.js';
import type { GgufMetadata } from './types.js';

/** The alignment that a file's metadata asks for, or the format's default. */
export function metadataAlignment(metadata: GgufMetadata): number {
  const entry = metadata.get(ALIGNMENT_KEY);
  if (entry === undefined) return DEFAULT_ALIGNMENT;
  if (entry.type !== 'uint32') throw alignmentError(`a value of type ${entry.type}`);
  return checkedAlignment(entry.value);
}

/** Data may be aligned to a power of two up to `MAX_ALIGNMENT`. */
export function checkedAlignment(value: number): number {
  if (value >= 1 && value <= MAX_ALIGNMENT && Number.isInteger(Math.log2(value))) return value;
  throw alignmentError(String(value));
}

function alignmentError(found: string): Error {
  return ggufError('GGUF_ALIGNMENT', `${ALIGNMENT_KEY} is ${found}`, {
    expected: `a uint32 power of two up to ${MAX_ALIGNMENT}`,
    found,
  });
}
