/**
 * @file One forward pass that shows what every matrix of a model is multiplied with: a block after the other in memory, all
 * sequences through each.
 */
import { type BlockWeights, blockTensorName } from './block-weights.js';
import { Blocks, type PassSettings, type Sequence } from './blocks.js';
import { EmbeddingRows } from './embedding.js';
import { Head } from './head.js';

/** What is done with the inputs. */
export interface InputReader {
  /**
   * Sees one input of one sequence, [columns x positions]; gone when it returns.
   * @param tensor the first matrix that reads it
   */
  read(tensor: string, sequence: number, values: Float32Array): void;
  /**
   * All sequences are through the block.
   * @param weights the block's, as floats; they may be changed
   */
  done(block: number, weights: BlockWeights): Promise<void>;
}

export class InputPass {
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

  static async open(settings: PassSettings): Promise<InputPass> {
    return new InputPass(settings, await Blocks.open(settings), await Head.open(settings));
  }

  /** @throws BitsmithError `ACTIVATION_NOT_FINITE` */
  async run(sequences: readonly Sequence[], reader: InputReader, signal?: AbortSignal): Promise<void> {
    const { blocks, head } = this;
    const streams = await Promise.all(sequences.map(({ tokens }) => this.embedding.look(tokens)));
    for (const [index, block] of this.settings.model.blocks.entries()) {
      await blocks.load(index);
      await blocks.inEach(streams, async (lane, stream, at) => {
        lane.input.set(stream);
        const inputs = await lane.forwardKeeping(block, signal);
        await blocks.refuseNotFinite(lane, index, stream, sequences[at], signal);
        for (const [part, values] of inputs) reader.read(blockTensorName(index, part), at, values);
        stream.set(lane.output);
      });
      await reader.done(index, blocks.weights);
    }
    await blocks.inEach(streams, async (_lane, stream, at, index) =>
      reader.read(head.tensor.name, at, await head.hidden(stream, index, signal)),
    );
  }

  dispose(): void {
    this.blocks.dispose();
    this.head.dispose();
  }
}
