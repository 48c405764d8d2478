import type { LlamaContext, TokenBatch } from '../../src/index.js';
import { uniform } from './random.js';
import { vocabularySize } from './tiny-model.js';

/** `sequences` sequences of `length` random tokens from position 0, outputs everywhere. */
export function randomBatch(sequences: number, length: number, seed = 1): TokenBatch {
  const next = uniform(seed);
  const count = sequences * length;
  return {
    tokens: Int32Array.from({ length: count }, () => Math.floor(next() * vocabularySize)),
    positions: Int32Array.from({ length: count }, (_, i) => i % length),
    sequenceIds: Int32Array.from({ length: count }, (_, i) => Math.floor(i / length)),
    outputs: new Uint8Array(count).fill(1),
  };
}

/** A copy of the logits of a batch on empty memory. */
export function logitsOf(context: LlamaContext, batch: TokenBatch): Float32Array {
  context.clearMemory();
  context.decode(batch);
  return context.logits().slice();
}

export function sameBits(a: Float32Array, b: Float32Array): boolean {
  return (
    Buffer.compare(
      new Uint8Array(a.buffer, a.byteOffset, a.byteLength),
      new Uint8Array(b.buffer, b.byteOffset, b.byteLength),
    ) === 0
  );
}
