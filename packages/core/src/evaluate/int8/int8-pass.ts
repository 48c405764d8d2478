/**
 * @file A model beside itself in 8 bits: weights and inputs of every matrix, the rest in float32. Both go through the text together,
 * block by block, so that neither is in memory whole.
 */
import { Blocks, type PassSettings, type Sequence } from '../../transformer/blocks.js';
import { EmbeddingRows } from '../../transformer/embedding.js';
import { Head } from '../../transformer/head.js';
import { firstScoredOf } from '../scorer.js';
import { importanceOf, Int8Blocks, type Int8Settings } from './int8-blocks.js';
import { Int8Head } from './int8-head.js';
import { encodeWeights } from './weight-codes.js';

/** Logits of as many sequences are there at once. */
const LOGIT_BYTES = 256 * 2 ** 20;

/** Gets both models' logits of a sequence's scored positions, [positions x vocabulary]. */
type TakeLogits = (sequence: number, exact: Float32Array, rounded: Float32Array) => void;

export class Int8Pass {
  private readonly exact: { readonly settings: PassSettings; readonly blocks: Blocks; readonly head: Head };
  private readonly rounded: {
    readonly settings: Int8Settings;
    readonly blocks: Int8Blocks;
    readonly norm: Head;
    readonly head: Int8Head;
  };
  private readonly scored: number;

  private constructor(exact: Int8Pass['exact'], rounded: Int8Pass['rounded'], scored: number) {
    this.exact = exact;
    this.rounded = rounded;
    this.scored = scored;
  }

  /** @param rounded the same model, or one that computes the same */
  static async open(exact: PassSettings, rounded: Int8Settings): Promise<Int8Pass> {
    const scored = exact.positions - firstScoredOf(exact.positions);
    const norm = await Head.open({ ...rounded, headSlabBytes: 1 });
    return new Int8Pass(
      { settings: exact, blocks: await Blocks.open(exact), head: await Head.open(exact) },
      {
        settings: rounded,
        blocks: await Int8Blocks.open(rounded),
        norm,
        head: new Int8Head(rounded, norm, scored),
      },
      scored,
    );
  }

  /** @throws BitsmithError `ACTIVATION_NOT_FINITE` of the exact model */
  async run(
    sequences: readonly Sequence[],
    take: TakeLogits,
    onBlock: (block: number) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const exact = await look(this.exact.settings, sequences);
    const rounded = await look(this.rounded.settings, sequences);
    if (this.rounded.settings.model.tied) for (const stream of rounded) this.roundRows(stream);
    for (const index of this.exact.settings.model.blocks.keys()) {
      await this.forwardExact(index, sequences, exact, signal);
      await this.rounded.blocks.forward(index, rounded, signal);
      onBlock(index);
    }
    const vocabularyBytes = 4 * this.scored * this.exact.head.tensor.rows;
    const group = Math.max(1, Math.floor(LOGIT_BYTES / vocabularyBytes));
    for (let first = 0; first < sequences.length; first += group) {
      const logits = await this.rounded.head.logits(rounded.slice(first, first + group), signal);
      for (const [at, values] of logits.entries())
        take(first + at, await this.exactLogits(exact[first + at], signal), values);
    }
  }

  dispose(): void {
    for (const part of [this.exact.blocks, this.exact.head]) part.dispose();
    for (const part of [this.rounded.blocks, this.rounded.norm, this.rounded.head]) part.dispose();
  }

  private async forwardExact(
    index: number,
    sequences: readonly Sequence[],
    streams: readonly Float32Array[],
    signal?: AbortSignal,
  ): Promise<void> {
    const { blocks, settings } = this.exact;
    await blocks.load(index);
    await blocks.inEach(streams, async (lane, stream, at) => {
      lane.input.set(stream);
      await lane.forward(settings.model.blocks[index], signal);
      await blocks.refuseNotFinite(lane, index, stream, sequences[at], signal);
      stream.set(lane.output);
    });
  }

  private async exactLogits(stream: Float32Array, signal?: AbortSignal): Promise<Float32Array> {
    const logits = await this.exact.head.logits(stream, signal);
    return logits.subarray(logits.length - this.scored * this.exact.head.tensor.rows);
  }

  /** Rows of an embedding that is the output head as well are looked up from the head's codes. */
  private roundRows(stream: Float32Array): void {
    const { model, importance, files } = this.rounded.settings;
    const rows = stream.length / model.width;
    const scales = new Float32Array(rows);
    const weights = importanceOf(importance, files, this.exact.head.tensor.name);
    encodeWeights({ shape: [model.width, rows], values: stream, transposed: null }, weights, scales);
    stream.forEach((code, at) => (stream[at] = code * scales[Math.floor(at / model.width)]));
  }
}

async function look(settings: PassSettings, sequences: readonly Sequence[]): Promise<Float32Array[]> {
  const embedding = new EmbeddingRows(settings);
  return await Promise.all(sequences.map(({ tokens }) => embedding.look(tokens)));
}
