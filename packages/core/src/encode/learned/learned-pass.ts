/**
 * @file Learned rounding of a model, block by block: two streams of every sequence go through it side by side, one through the weights as they
 * were, one through what they are rounded to. In memory is one block, both ways, and the streams.
 */
import type { ImportanceMatrix } from '@bitsmith/formats';
import { columnWeights } from '../../calibrate/column-weights.js';
import { type BlockWeights, loadBlock, roomForBlock } from '../../transformer/block-weights.js';
import { loadRopeFactors, notFinite, type PassSettings } from '../../transformer/blocks.js';
import { EmbeddingRows } from '../../transformer/embedding.js';
import type { BlockShape } from '../../transformer/shape.js';
import { fillTranspose } from '../../transformer/weights.js';
import type { StorageType } from '../../plan/schemes.js';
import type { Rounder } from '../feedback/rounder.js';
import { type BlockLearned, inEach, learnBlock } from './learn-block.js';
import { LearnedMatrix } from './learned-matrix.js';
import { LearningLane } from './learning-lane.js';
import type { StoredParts } from './level-grid.js';
import type { LearnedSettings } from './options.js';
import { gridOf, type StartingPoint, startingPoint } from './starting-grid.js';

export interface LearnedPassSettings extends PassSettings {
  readonly importance: ImportanceMatrix;
  /** What is learned, by tensor. */
  readonly schemes: ReadonlyMap<string, StorageType>;
  readonly learned: LearnedSettings;
  /** What codes begin with: those of the encoder that inputs are known to, or, without, the nearest. */
  readonly rounder: Rounder;
  /** Encoded tensors to begin with instead. */
  readonly startOf?: (tensor: string) => Promise<StoredParts>;
  /** What a squared error of each channel of the stream behind a block counts; absent: all alike. */
  readonly channelWeightsOf?: (block: number) => Promise<Float32Array>;
}

/** Where the pass gets blocks that are done, and takes those that it makes. */
export interface LearnedBlocks {
  /** A block's tensors as they were learned before; null where they were not. */
  known(block: number): Promise<ReadonlyMap<string, StoredParts> | null>;
  take(block: number, tensors: ReadonlyMap<string, StoredParts>, learned: BlockLearned): Promise<void>;
}

/** A sequence on its way: the stream of the model as it was, and that of the rounded one. */
interface Streams {
  readonly index: number;
  readonly tokens: Int32Array;
  plain: Float32Array;
  rounded: Float32Array;
}

/** Of so many sequences one is only judged by, up to a number that tells states apart. */
const JUDGED_SHARE = 4;
const MOST_JUDGED = 16;

export class LearnedPass {
  private readonly settings: LearnedPassSettings;
  private readonly original: BlockWeights;
  private readonly room: BlockWeights;
  private readonly plainLanes: readonly LearningLane[];
  private readonly lanes: readonly LearningLane[];
  private readonly channelWeights: Float32Array;

  private constructor(settings: LearnedPassSettings, ropeFactors: Float32Array | null) {
    const { engine, files, model, positions, schemes } = settings;
    this.settings = settings;
    this.original = roomForBlock(files, model, { transposed: false });
    this.room = roomForBlock(files, model, { transposed: true });
    this.channelWeights = new Float32Array(model.width).fill(1);
    const learned = new Set([...schemes.keys()].map((name) => partOf(name)));
    const lanesOn = (weights: BlockWeights): LearningLane[] => {
      const of = { engine, model, positions, ropeFactors, weights };
      const { channelWeights } = this;
      return Array.from(
        { length: settings.lanes },
        () => new LearningLane({ ...of, learned, channelWeights }),
      );
    };
    this.plainLanes = lanesOn(this.original);
    this.lanes = lanesOn(this.room);
  }

  static async open(settings: LearnedPassSettings): Promise<LearnedPass> {
    return new LearnedPass(settings, await loadRopeFactors(settings));
  }

  /** @throws BitsmithError `ACTIVATION_NOT_FINITE`, `LEARNED_SCHEME` */
  async run(tokens: readonly Int32Array[], blocks: LearnedBlocks): Promise<void> {
    const { model } = this.settings;
    const embedding = new EmbeddingRows(this.settings);
    const streams = await Promise.all(
      tokens.map(async (sequence, index): Promise<Streams> => {
        const looked = await embedding.look(sequence);
        return { index, tokens: sequence, plain: looked, rounded: looked };
      }),
    );
    const last = Math.max(...[...this.settings.schemes.keys()].map(blockOf));
    for (const [index, block] of model.blocks.slice(0, last + 1).entries()) {
      await this.load(index);
      const targets = await this.through(this.plainLanes, block, index, streams, 'plain');
      await this.learn(index, streams, targets, blocks);
      const same =
        streams.every(({ plain, rounded }) => plain === rounded) && this.namesOf(index).length === 0;
      const outputs = same ? targets : await this.through(this.lanes, block, index, streams, 'rounded');
      streams.forEach((stream, at) => {
        stream.plain = targets[at];
        stream.rounded = outputs[at];
      });
    }
  }

  dispose(): void {
    for (const lane of [...this.plainLanes, ...this.lanes]) lane.dispose();
  }

  private namesOf(block: number): string[] {
    return [...this.settings.schemes.keys()].filter((name) => blockOf(name) === block);
  }

  /** The block's weights both ways: as they are, and to be rounded. */
  private async load(block: number): Promise<void> {
    const { engine, files, model, lanes } = this.settings;
    await loadBlock(engine, files, model, block, this.original, lanes);
    for (const [part, array] of this.room.matrices) {
      array.values.set(this.original.matrices.get(part)?.values as Float32Array);
      fillTranspose(array);
    }
    for (const [part, vector] of this.room.vectors)
      vector.set(this.original.vectors.get(part) as Float32Array);
  }

  /** Fills the room with the rounded block, learned now or before. */
  private async learn(
    index: number,
    streams: readonly Streams[],
    targets: readonly Float32Array[],
    blocks: LearnedBlocks,
  ): Promise<void> {
    const names = this.namesOf(index);
    if (names.length === 0) return;
    const known = await blocks.known(index);
    const matrices = new Map<string, LearnedMatrix>();
    for (const name of names) {
      const { values } = this.original.matrices.get(partOf(name)) as { values: Float32Array };
      const { grid, reach } = await this.startOf(name, known);
      matrices.set(partOf(name), new LearnedMatrix(grid, values, reach));
    }
    if (known !== null) {
      for (const [part, matrix] of matrices) matrix.finish(this.valuesOf(part));
      return;
    }
    const learned = await this.descend(index, matrices, streams, targets);
    const parts = names.map(
      (name) => [name, (matrices.get(partOf(name)) as LearnedMatrix).grid.parts()] as const,
    );
    await blocks.take(index, new Map(parts), learned);
  }

  private async descend(
    index: number,
    matrices: ReadonlyMap<string, LearnedMatrix>,
    streams: readonly Streams[],
    targets: readonly Float32Array[],
  ): Promise<BlockLearned> {
    const { engine, model, positions, learned: settings, channelWeightsOf } = this.settings;
    const { room, lanes, channelWeights } = this;
    if (channelWeightsOf !== undefined) channelWeights.set(await channelWeightsOf(index));
    const samples = streams.map(({ rounded }, at) => ({ input: rounded, target: targets[at] }));
    const isJudged = (at: number): boolean =>
      at % JUDGED_SHARE === JUDGED_SHARE - 1 && at < JUDGED_SHARE * MOST_JUDGED;
    const train = samples.filter((_, at) => !isJudged(at));
    const judge = samples.filter((_, at) => isJudged(at));
    return await learnBlock({
      engine,
      block: model.blocks[index],
      room,
      matrices,
      lanes,
      train,
      // Where there are no more than a few, by what is learned from.
      judge: judge.length > 0 ? judge : train,
      positions,
      channelWeights,
      settings,
    });
  }

  private async startOf(
    name: string,
    known: ReadonlyMap<string, StoredParts> | null,
  ): Promise<StartingPoint> {
    const { engine, files, lanes, schemes, importance, rounder, startOf } = this.settings;
    const scheme = schemes.get(name) as StorageType;
    const tensor = files.tensor(name);
    const start = known?.get(name) ?? (await startOf?.(name));
    if (start !== undefined) return { grid: gridOf(scheme, start, tensor), reach: 1 };
    const { values } = this.original.matrices.get(partOf(name)) as { values: Float32Array };
    const [vector] = columnWeights(importance, tensor).vectors;
    const { rows, rowLength } = tensor;
    const input = { values, rows, rowLength, importance: vector };
    return await startingPoint(engine, lanes, scheme, input, await rounder.statisticsOf(name));
  }

  /** The streams behind the block. */
  private async through(
    lanes: readonly LearningLane[],
    block: BlockShape,
    index: number,
    streams: readonly Streams[],
    which: 'plain' | 'rounded',
  ): Promise<Float32Array[]> {
    const outputs: Float32Array[] = [];
    await inEach(lanes, streams, async (lane, stream, at) => {
      lane.input.set(stream[which]);
      await lane.forward(block);
      const { width } = this.settings.model;
      const bad = lane.output.findIndex((value) => !Number.isFinite(value));
      if (bad >= 0) throw notFinite(`block ${index}`, stream, Math.floor(bad / width));
      outputs[at] = lane.output.slice();
    });
    return outputs;
  }

  private valuesOf(part: string): Float32Array {
    return (this.room.matrices.get(part) as { values: Float32Array }).values;
  }
}

/** The index of a tensor's block, which learned tensors have. */
export function blockOf(name: string): number {
  return Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? Number.NaN);
}

/** A tensor's name within its block: `attn_q` of `blk.3.attn_q.weight`. */
function partOf(name: string): string {
  return name.split('.')[2];
}
