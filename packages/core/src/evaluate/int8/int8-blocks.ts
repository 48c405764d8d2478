/** @file A model's blocks with weights and inputs of their matrices in 8 bits, one block in memory at a time. */
import { alignedFloats } from '@bitsmith/ggml';
import type { ImportanceMatrix } from '@bitsmith/formats';
import { columnWeights } from '../../calibrate/column-weights.js';
import { blockTensorName, loadBlock, roomForBlock } from '../../transformer/block-weights.js';
import { loadRopeFactors, type PassSettings } from '../../transformer/blocks.js';
import type { WeightFiles } from '../../model/weight-files.js';
import { inLanes } from '../../run/lanes.js';
import type { ActivationRounder } from './activation-rounder.js';
import { Int8Lane } from './int8-lane.js';
import type { Int8Weights } from './int8-parts.js';
import { encodeWeights } from './weight-codes.js';

export interface Int8Settings extends PassSettings {
  readonly rounder: ActivationRounder;
  /** Importance of the columns, for the ranges of weights; null for none. */
  readonly importance: ImportanceMatrix | null;
}

export class Int8Blocks {
  private readonly settings: Int8Settings;
  private readonly weights: Int8Weights;
  private readonly lanes: readonly Int8Lane[];

  private constructor(settings: Int8Settings, weights: Int8Weights, lanes: readonly Int8Lane[]) {
    this.settings = settings;
    this.weights = weights;
    this.lanes = lanes;
  }

  static async open(settings: Int8Settings): Promise<Int8Blocks> {
    const { files, model } = settings;
    const room = roomForBlock(files, model, { transposed: false });
    const scales = new Map([...room.matrices].map(([name, { shape }]) => [name, alignedFloats(shape[1])]));
    const weights = { ...room, scales };
    const ropeFactors = await loadRopeFactors(settings);
    const lanes = Array.from(
      { length: settings.lanes },
      () => new Int8Lane({ ...settings, ropeFactors, weights }),
    );
    return new Int8Blocks(settings, weights, lanes);
  }

  /** Every stream through a block, in place. */
  async forward(index: number, streams: readonly Float32Array[], signal?: AbortSignal): Promise<void> {
    await this.load(index);
    const block = this.settings.model.blocks[index];
    const free = [...this.lanes];
    await inLanes(free.length, streams, async (stream) => {
      const lane = free.pop() as Int8Lane;
      lane.input.set(stream);
      await lane.forward(index, block, signal);
      stream.set(lane.output);
      free.push(lane);
    });
  }

  dispose(): void {
    for (const lane of this.lanes) lane.dispose();
  }

  private async load(block: number): Promise<void> {
    const { engine, files, model, lanes, importance } = this.settings;
    await loadBlock(engine, files, model, block, this.weights, lanes);
    for (const [part, array] of this.weights.matrices) {
      const weights = importanceOf(importance, files, blockTensorName(block, part));
      encodeWeights(array, weights, this.weights.scales.get(part) as Float32Array);
    }
  }
}

/** What encoders weigh a tensor's columns with. */
export function importanceOf(
  importance: ImportanceMatrix | null,
  files: WeightFiles,
  tensor: string,
): Float32Array | null {
  return importance === null ? null : columnWeights(importance, files.tensor(tensor)).vectors[0];
}
