/**
 * @file A batch of tokens in the arrays that llama.cpp reads. They belong to a context and are filled anew for every
 * decode, so their addresses never change.
 */
import { addressOf } from '../binding/memory.js';
import type { LlamaBatch } from '../binding/structs.js';
import { misuse } from './validate.js';
import type { Vocabulary } from './vocabulary.js';

/** Tokens to compute, in order; all arrays have one element a token. */
export interface TokenBatch {
  readonly tokens: Int32Array;
  /** Position in its sequence: 0, 1, 2, ... without gaps. */
  readonly positions: Int32Array;
  /** Which sequence the token belongs to: 0 to `sequences` - 1. */
  readonly sequenceIds: Int32Array;
  /** Nonzero where logits are wanted. */
  readonly outputs: Uint8Array;
}

export class BatchBuffers {
  private readonly capacity: number;
  private readonly tokens: Int32Array;
  private readonly positions: Int32Array;
  private readonly sequenceIds: Int32Array;
  private readonly sequenceCounts: Int32Array;
  private readonly sequencePointers: BigUint64Array;
  private readonly outputs: Int8Array;

  constructor(capacity: number) {
    const ints = (): Int32Array => new Int32Array(new ArrayBuffer(Math.max(256, capacity * 4)), 0, capacity);
    this.capacity = capacity;
    this.tokens = ints();
    this.positions = ints();
    this.sequenceIds = ints();
    this.sequenceCounts = ints().fill(1);
    this.sequencePointers = new BigUint64Array(new ArrayBuffer(Math.max(256, capacity * 8)), 0, capacity);
    this.outputs = new Int8Array(new ArrayBuffer(Math.max(256, capacity)), 0, capacity);
    const base = addressOf(this.sequenceIds);
    for (let i = 0; i < capacity; i++) this.sequencePointers[i] = base + BigInt(4 * i);
  }

  /** Copies a batch in. Its values were checked before. @returns the number of outputs */
  fill(batch: TokenBatch): number {
    this.tokens.set(batch.tokens);
    this.positions.set(batch.positions);
    this.sequenceIds.set(batch.sequenceIds);
    let outputs = 0;
    for (let i = 0; i < batch.tokens.length; i++) {
      const wanted = batch.outputs[i] === 0 ? 0 : 1;
      this.outputs[i] = wanted;
      outputs += wanted;
    }
    return outputs;
  }

  asNative(count: number): LlamaBatch {
    return {
      n_tokens: count,
      token: addressOf(this.tokens),
      embd: null,
      pos: addressOf(this.positions),
      n_seq_id: addressOf(this.sequenceCounts),
      seq_id: addressOf(this.sequencePointers),
      logits: addressOf(this.outputs),
    };
  }

  /**
   * Refuses what would crash the engine or be computed wrongly, and returns where each sequence then ends.
   * @param next the position that each sequence continues at
   * @param tokensPerSequence positions a sequence can hold
   * @throws BitsmithError `BATCH_SIZE`, `TOKEN_RANGE`, `BATCH_SEQUENCE`, `BATCH_POSITION`
   */
  validate(
    batch: TokenBatch,
    vocabulary: Vocabulary,
    next: Int32Array,
    tokensPerSequence: number,
  ): Int32Array {
    const { tokens, positions, sequenceIds, outputs } = batch;
    const count = tokens.length;
    if (count < 1 || count > this.capacity) {
      throw misuse('BATCH_SIZE', `1 to ${this.capacity} tokens in a batch`, `${count}`);
    }
    for (const array of [positions, sequenceIds, outputs]) {
      if (array.length !== count)
        throw misuse('BATCH_SIZE', `${count} elements in each array`, `${array.length}`);
    }
    const ends = next.slice();
    for (let i = 0; i < count; i++) {
      const sequence = sequenceIds[i];
      if (tokens[i] < 0 || tokens[i] >= vocabulary.size) vocabulary.assertToken(tokens[i], i);
      if (!(sequence >= 0 && sequence < ends.length)) {
        throw misuse(
          'BATCH_SEQUENCE',
          `sequence ids from 0 to ${ends.length - 1}`,
          `${sequence} at index ${i}`,
        );
      }
      if (positions[i] !== ends[sequence] || positions[i] >= tokensPerSequence) {
        throw misuse(
          'BATCH_POSITION',
          `position ${ends[sequence]} next in sequence ${sequence}, below ${tokensPerSequence}`,
          `${positions[i]} at index ${i}`,
          'Positions of a sequence follow on each other; clear the memory to start again.',
        );
      }
      ends[sequence] += 1;
    }
    return ends;
  }
}
