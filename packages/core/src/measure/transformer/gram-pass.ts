/**
 * @file Gram matrices of the inputs of every matrix of a model: sequences side by side in the lanes, then their sums side by
 * side.
 */
import { inLanes } from '../../run/lanes.js';
import type { BlockLane } from './block-lane.js';
import { Blocks, type PassSettings, type Sequence } from './blocks.js';
import { EmbeddingRows } from './embedding.js';
import { GramSum } from './gram.js';
import { Head } from './head.js';

/** Sequences whose inputs are summed at once. */
const GRAM_SEQUENCES = 4;

/** What a lane's sequence is multiplied with, by the name under which its Gram matrix is kept. */
type InputsOf = (
  lane: BlockLane,
  stream: Float32Array,
  at: number,
  index: number,
) => Promise<ReadonlyMap<string, Float32Array>>;

export class GramPass {
  private readonly settings: PassSettings;
  private readonly blocks: Blocks;
  private readonly head: Head;
  private readonly embedding: EmbeddingRows;

  private constructor(settings: PassSettings, blocks: Blocks, head: Head) {
    this.settings = settings;
    this.blocks = blocks;
    this.head = head;
    this.embedding = new EmbeddingRows(settings);
  }

  static async open(settings: PassSettings): Promise<GramPass> {
    return new GramPass(settings, await Blocks.open(settings), await Head.open(settings));
  }

  /**
   * Gram matrices of the inputs of every block's matrices and of the head's, over all positions of the sequences.
   * @param take gets each block's, by the first matrix that reads the input, and last the head's
   * @throws BitsmithError `ACTIVATION_NOT_FINITE`
   */
  async run(
    sequences: readonly Sequence[],
    take: (block: number | null, grams: ReadonlyMap<string, Float32Array>) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<void> {
    const { model } = this.settings;
    const { blocks, head } = this;
    const streams = await Promise.all(sequences.map(({ tokens }) => this.embedding.look(tokens)));
    const sums = new Map<string, GramSum>();
    const ends = new Map<string, GramSum>();
    try {
      for (const [index, block] of model.blocks.entries()) {
        await blocks.load(index);
        await this.addUp(streams, sums, signal, async (lane, stream, at) => {
          lane.input.set(stream);
          const inputs = await lane.forwardKeeping(block, signal);
          await blocks.refuseNotFinite(lane, index, stream, sequences[at], signal);
          stream.set(lane.output);
          return inputs;
        });
        await take(index, meansOf(sums));
      }
      await this.addUp(
        streams,
        ends,
        signal,
        async (_lane, stream, _at, index) =>
          new Map([[head.tensor.name, await head.hidden(stream, index, signal)]]),
      );
      await take(null, meansOf(ends));
    } finally {
      for (const sum of [...sums.values(), ...ends.values()]) sum.dispose();
    }
  }

  dispose(): void {
    this.blocks.dispose();
    this.head.dispose();
  }

  private async addUp(
    streams: readonly Float32Array[],
    sums: Map<string, GramSum>,
    signal: AbortSignal | undefined,
    inputsOf: InputsOf,
  ): Promise<void> {
    const { engine, positions, lanes } = this.settings;
    for (let first = 0; first < streams.length; first += GRAM_SEQUENCES) {
      const batch = streams.slice(first, first + GRAM_SEQUENCES);
      await this.blocks.inEach(batch, async (lane, stream, place, index) => {
        for (const [name, input] of await inputsOf(lane, stream, first + place, index)) {
          let sum = sums.get(name);
          if (sum === undefined) {
            sum = new GramSum(engine, input.length / positions, positions * GRAM_SEQUENCES);
            sums.set(name, sum);
          }
          sum.place(input, place);
        }
      });
      await inLanes(lanes, sums.values(), (sum) => sum.add(batch.length * positions, signal));
    }
  }
}

function meansOf(sums: ReadonlyMap<string, GramSum>): Map<string, Float32Array> {
  return new Map([...sums].map(([name, sum]) => [name, sum.take()]));
}
