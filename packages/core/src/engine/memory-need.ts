/**
 * @file What a model's context takes at the least, held against the machine's memory: the system promises more memory than
 * there is, so that a context too large would not fail but end the engine, or the machine, in the middle of the work.
 */
import os from 'node:os';
import { BitsmithError } from '@bitsmith/formats';

export interface ContextShape {
  /** Tokens of all sequences together. */
  readonly tokens: number;
  /** Positions whose logits are kept. */
  readonly outputs: number;
  readonly vocabulary: number;
  readonly layers: number;
  /** Key and value entries of one token in one layer; 0 where the model does not say. */
  readonly cachedPerLayer: number;
}

const LOGIT_BYTES = 4;
/** The engine's default for keys and values: half floats. */
const CACHE_BYTES = 2;

/** Bytes a context needs at the least: logits, and keys and values of every token. */
export function contextBytes({ tokens, outputs, vocabulary, layers, cachedPerLayer }: ContextShape): number {
  return outputs * vocabulary * LOGIT_BYTES + tokens * layers * cachedPerLayer * CACHE_BYTES;
}

/** Memory that this process may use at most: the machine's, or its container's if that is less. */
export function memoryLimit(): number {
  const limit = process.constrainedMemory();
  const machine = os.totalmem();
  return limit > 0 && limit < machine ? limit : machine;
}

/**
 * Weights are mapped from their file and need no memory of their own; a context does.
 * @throws BitsmithError `MEMORY_TOO_SMALL` before memory is taken that is not there.
 */
export function refuseTooLittleMemory(neededBytes: number, limitBytes: number): void {
  if (neededBytes <= limitBytes) return;
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  throw new BitsmithError(
    'resources',
    'MEMORY_TOO_SMALL',
    `expected ${gigabytes(neededBytes)} of memory for the model's context at the least, found ${gigabytes(limitBytes)} in this machine`,
    { suggestion: 'Use a shorter --chunk, or a machine with more memory.' },
  );
}
