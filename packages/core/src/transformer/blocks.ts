/**
 * @file A model's blocks, one in memory at a time: the room that its weights are loaded into, and the lanes that compute with
 * them.
 */
import { BitsmithError } from '@bitsmith/formats';
import { alignedFloats, type Engine } from '@bitsmith/ggml';
import type { WeightFiles } from '../model/weight-files.js';
import { inLanes } from '../run/lanes.js';
import type { Activations } from './activations.js';
import { BlockLane } from './block-lane.js';
import { type BlockWeights, blockTensorName, loadBlock, roomForBlock } from './block-weights.js';
import type { WeightChanges } from './inner-products.js';
import type { BlockShape, TransformerShape } from './shape.js';
import { fillTranspose, loadVector, STAGING_BYTES } from './weights.js';

export interface PassSettings {
  readonly engine: Engine;
  readonly files: WeightFiles;
  readonly model: TransformerShape;
  readonly positions: number;
  readonly lanes: number;
  readonly seed: number;
  /** Positions before it have no label. */
  readonly firstScored: number;
  /** Where kept activations go; null keeps them in memory. */
  readonly scratchPath: string | null;
  /** Bytes that a slab of the output head takes; default 64 MiB. */
  readonly headSlabBytes?: number;
  /** True where the head is asked for what its matrix is multiplied with, in place of squared gradients. */
  readonly headInputs?: boolean;
  /** Changes of weights whose inner products with the gradients are wanted. */
  readonly changes?: WeightChanges;
}

export interface Sequence {
  /** Seeds its labels. */
  readonly index: number;
  readonly tokens: Int32Array;
}

export class Blocks {
  private readonly settings: PassSettings;
  private readonly room: BlockWeights;
  private readonly lanes: readonly BlockLane[];
  /** dW of the block's matrices. */
  private readonly changes: ReadonlyMap<string, Float32Array> | null;
  private loaded: number | null = null;
  private hasTransposes = false;

  private constructor(
    settings: PassSettings,
    room: BlockWeights,
    lanes: readonly BlockLane[],
    changes: ReadonlyMap<string, Float32Array> | null,
  ) {
    this.settings = settings;
    this.room = room;
    this.lanes = lanes;
    this.changes = changes;
  }

  static async open(settings: PassSettings): Promise<Blocks> {
    const { engine, files, model, positions } = settings;
    const ropeFactors = await loadRopeFactors(settings);
    const room = roomForBlock(files, model, { transposed: true });
    const changes =
      settings.changes === undefined
        ? null
        : new Map([...room.matrices].map(([name, { values }]) => [name, alignedFloats(values.length)]));
    const lanes = Array.from(
      { length: settings.lanes },
      () => new BlockLane({ engine, model, positions, ropeFactors, weights: room, changes }),
    );
    return new Blocks(settings, room, lanes, changes);
  }

  /** Bytes of weights and lanes. */
  get byteLength(): number {
    const weights = [...this.room.matrices.values()].reduce((sum, { values }) => sum + 8 * values.length, 0);
    const { blocks } = this.settings.model;
    return (
      weights +
      STAGING_BYTES * this.lanes.length +
      this.lanes.reduce((sum, lane) => sum + lane.byteLength(blocks), 0)
    );
  }

  /** Those of the block that was loaded last. */
  get weights(): BlockWeights {
    return this.room;
  }

  /** Makes a block's weights be there for the way forward. */
  async load(block: number): Promise<void> {
    if (this.loaded === block) return;
    this.hasTransposes = false;
    const { engine, files, model, lanes } = this.settings;
    await loadBlock(engine, files, model, block, this.room, lanes);
    this.loaded = block;
  }

  /** For the way back as well: gradients pass through the weights the other way round. */
  async loadForBackward(block: number): Promise<void> {
    await this.load(block);
    if (!this.hasTransposes) for (const matrix of this.room.matrices.values()) fillTranspose(matrix);
    this.hasTransposes = true;
    for (const [part, array] of this.changes ?? [])
      await this.settings.changes?.rows(blockTensorName(block, part), 0, array);
  }

  /** All streams through all blocks; what is before each block is kept. @throws BitsmithError `ACTIVATION_NOT_FINITE` */
  async forward(
    sequences: readonly Sequence[],
    streams: readonly Float32Array[],
    kept: Activations,
    signal?: AbortSignal,
  ): Promise<void> {
    for (const [index, block] of this.settings.model.blocks.entries()) {
      await this.load(index);
      await this.inEach(streams, async (lane, stream, at) => {
        await kept.write(index, at, stream);
        lane.input.set(stream);
        await lane.forward(block, signal);
        await this.refuseNotFinite(lane, index, stream, sequences[at], signal);
        stream.set(lane.output);
      });
    }
  }

  /** Work on each stream, as many at once as there are lanes. */
  async inEach(
    streams: readonly Float32Array[],
    work: (lane: BlockLane, stream: Float32Array, at: number, index: number) => Promise<void>,
  ): Promise<void> {
    const free = [...this.lanes.entries()];
    await inLanes(free.length, streams.entries(), async ([at, stream]) => {
      const entry = free.pop() as (typeof free)[number];
      const [index, lane] = entry;
      await work(lane, stream, at, index);
      free.push(entry);
    });
  }

  /**
   * Refuses a block's output that is not finite.
   * @throws BitsmithError `ACTIVATION_NOT_FINITE` naming block and token
   */
  async refuseNotFinite(
    lane: BlockLane,
    index: number,
    stream: Float32Array,
    sequence: Sequence,
    signal?: AbortSignal,
  ): Promise<void> {
    if (isFinite(lane.output)) return;
    const position = await this.firstOverflow(lane, this.settings.model.blocks[index], stream, signal);
    throw notFinite(`block ${index}`, sequence, position);
  }

  dispose(): void {
    for (const lane of this.lanes) lane.dispose();
  }

  /**
   * The position whose stream makes a block overflow. NaN spreads to positions before it, where masks are added to it: so the
   * shortest start of the sequence is looked for that overflows by itself.
   */
  private async firstOverflow(
    lane: BlockLane,
    block: BlockShape,
    stream: Float32Array,
    signal?: AbortSignal,
  ): Promise<number> {
    const { width } = this.settings.model;
    let [low, high] = [0, stream.length / width - 1];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      lane.input.set(stream);
      lane.input.fill(0, (middle + 1) * width);
      await lane.forward(block, signal);
      if (isFinite(lane.output)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Long contexts have other frequencies where a model says so; ours are as long as the sequences. */
export async function loadRopeFactors({
  engine,
  files,
  model,
  positions,
}: Pick<PassSettings, 'engine' | 'files' | 'model' | 'positions'>): Promise<Float32Array | null> {
  const long = positions > (model.blocks[0]?.rope.originalContext ?? Infinity);
  const names = ['rope_freqs.weight', long ? 'rope_factors_long.weight' : 'rope_factors_short.weight'];
  const name = names.find((candidate) => files.has(candidate));
  if (name === undefined) return null;
  // One for each pair of a head: the engine also reads those of the pairs that do not turn.
  const factors = await loadVector(engine, files, name);
  const padded = new Float32Array(Math.max(factors.length, Math.ceil(model.headSize / 2))).fill(1);
  padded.set(factors);
  return padded;
}

function isFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

export function notFinite(where: string, { index, tokens }: Sequence, position: number): BitsmithError {
  return new BitsmithError(
    'analysis',
    'ACTIVATION_NOT_FINITE',
    `expected finite activations behind ${where}, found NaN or infinity at token ${position} (id ${tokens[position]}) of sequence ${index}`,
    {
      suggestion:
        'The model overflows on this text. Try another text, or check the model with bitsmith inspect.',
    },
  );
}
