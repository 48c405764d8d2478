/**
 * @file Gram matrices of the inputs of every matrix of a model, by one way forward and one way back: sequences side by side in the
 * lanes, then their sums side by side. The embedding has no inputs: what stands in for them is what its rows' errors meet, the
 * gradient of the stream before the first block.
 */
import type { SpanTriangle } from './span-triangle.js';
import { inLanes } from '../run/lanes.js';
import { Activations } from '../transformer/activations.js';
import type { BlockLane, WeighedInput } from '../transformer/block-lane.js';
import { Blocks, notFinite, type PassSettings, type Sequence } from '../transformer/blocks.js';
import { EMBEDDING, EmbeddingRows } from '../transformer/embedding.js';
import { gramPartOf, GramSum } from './gram.js';
import { Head } from '../transformer/head.js';

/** Positions whose inputs are summed at once, in whole sequences. */
const BATCH_POSITIONS = 2048;

/** Takes the Gram matrices of a block by the first matrix that reads the input; null: of the two ends. */
export type TakeGrams = (block: number | null, grams: ReadonlyMap<string, SpanTriangle>) => Promise<void>;

export class GramPass {
  private readonly settings: PassSettings;
  private readonly blocks: Blocks;
  private readonly head: Head;
  private readonly embedding: EmbeddingRows;
  /** Sequences of a batch. */
  private readonly together: number;

  private constructor(settings: PassSettings, blocks: Blocks, head: Head) {
    this.settings = settings;
    this.blocks = blocks;
    this.head = head;
    this.embedding = new EmbeddingRows(settings);
    this.together = Math.max(1, Math.floor(BATCH_POSITIONS / settings.positions));
  }

  static async open(settings: PassSettings): Promise<GramPass> {
    const head = await Head.open({ ...settings, headInputs: true });
    return new GramPass(settings, await Blocks.open(settings), head);
  }

  /** Bytes of weights, lanes, head and the sums of a block and the ends: everything but the sequences' own streams. */
  get byteLength(): number {
    const { positions } = this.settings;
    const widths = [...this.blocks.weights.matrices]
      .filter(([part]) => gramPartOf(part) === part)
      .map(([, { shape }]) => shape[0]);
    const ends = [this.settings.model.width, this.settings.model.width];
    return [...widths, ...ends].reduce(
      (sum, width) => sum + GramSum.byteLength(width, positions * this.together),
      this.blocks.byteLength + this.head.byteLength,
    );
  }

  /** Bytes of one sequence's stream. */
  get sequenceBytes(): number {
    return 4 * this.settings.model.width * this.settings.positions;
  }

  /** The same pass, with kept streams in a file. */
  withScratch(scratchPath: string): GramPass {
    return new GramPass({ ...this.settings, scratchPath }, this.blocks, this.head);
  }

  /**
   * Gram matrices over all positions of the sequences: those of the blocks from the last to the first, then those of the head
   * and the embedding. Where these are one tensor they are one matrix: a token's row is looked up about as often as it is
   * predicted, so that both sums have the same weights.
   * @throws BitsmithError `ACTIVATION_NOT_FINITE`
   */
  async run(sequences: readonly Sequence[], take: TakeGrams, signal?: AbortSignal): Promise<void> {
    const { model, positions, scratchPath } = this.settings;
    const kept = await Activations.create(sequences.length, model.width * positions, scratchPath);
    const [sums, ends] = [new Map<string, GramSum>(), new Map<string, GramSum>()];
    try {
      const streams = await Promise.all(sequences.map(({ tokens }) => this.embedding.look(tokens)));
      await this.blocks.forward(sequences, streams, kept, signal);
      await this.throughHead(sequences, streams, ends, signal);
      for (const [index, block] of [...model.blocks.entries()].toReversed()) {
        await this.blocks.loadForBackward(index);
        await this.addUp(streams, sums, signal, async (lane, stream, at) => {
          await kept.read(index, at, lane.input);
          lane.outputGradient.set(stream);
          const inputs = await lane.backwardKeeping(block, signal);
          stream.set(lane.inputGradient);
          return inputs;
        });
        await take(index, meansOf(sums));
      }
      // The gradient of a row that was looked up is the stream's, scaled as the family scales rows.
      const energy = new Float32Array(positions).fill(model.embeddingScale ** 2);
      await this.addUp(
        streams,
        ends,
        signal,
        async (_, values) => new Map([[EMBEDDING, { values, energy }]]),
      );
      await take(null, meansOf(ends));
    } finally {
      await kept.close();
    }
  }

  dispose(): void {
    this.blocks.dispose();
    this.head.dispose();
  }

  /** From the streams behind the last block to their gradients. */
  private async throughHead(
    sequences: readonly Sequence[],
    streams: readonly Float32Array[],
    sums: Map<string, GramSum>,
    signal?: AbortSignal,
  ): Promise<void> {
    const { head } = this;
    for (let first = 0; first < streams.length; first += this.together) {
      const batch = streams.slice(first, first + this.together);
      const found = await head.run(
        batch.map((stream, place) => {
          const { index, tokens } = sequences[first + place];
          return { sequence: index, tokens, stream };
        }),
        signal,
      );
      for (const [place, { draw, input }] of found.entries()) {
        if (draw.notFinite !== null)
          throw notFinite('the output head', sequences[first + place], draw.notFinite);
        const { values, energy } = input as WeighedInput;
        this.sumOf(sums, head.tensor.name, { values, energy }).place(values, energy, place);
      }
      await this.addBatch(sums, signal);
    }
  }

  private async addUp(
    streams: readonly Float32Array[],
    sums: Map<string, GramSum>,
    signal: AbortSignal | undefined,
    inputsOf: (
      lane: BlockLane,
      stream: Float32Array,
      at: number,
    ) => Promise<ReadonlyMap<string, WeighedInput>>,
  ): Promise<void> {
    for (let first = 0; first < streams.length; first += this.together) {
      const batch = streams.slice(first, first + this.together);
      await this.blocks.inEach(batch, async (lane, stream, place) => {
        for (const [name, input] of await inputsOf(lane, stream, first + place))
          this.sumOf(sums, name, input).place(input.values, input.energy, place);
      });
      await this.addBatch(sums, signal);
    }
  }

  private async addBatch(sums: ReadonlyMap<string, GramSum>, signal?: AbortSignal): Promise<void> {
    for (const sum of sums.values()) sum.close();
    // The longest first, so that no lane is left waiting for one.
    const bands = [...sums.values()].flatMap((sum) => sum.bands).toSorted((a, b) => b.work - a.work);
    await inLanes(this.settings.lanes, bands, (band) => band.add(signal));
    for (const sum of sums.values()) sum.open();
  }

  private sumOf(sums: Map<string, GramSum>, name: string, { values, energy }: WeighedInput): GramSum {
    const known = sums.get(name);
    if (known !== undefined) return known;
    const { engine } = this.settings;
    const sum = new GramSum(engine, values.length / energy.length, energy.length * this.together);
    sums.set(name, sum);
    return sum;
  }
}

function meansOf(sums: ReadonlyMap<string, GramSum>): Map<string, SpanTriangle> {
  return new Map([...sums].map(([name, sum]) => [name, sum.take()]));
}
