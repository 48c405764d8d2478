/**
 * @file Learned rounding of one block: signed gradient descent on the squared error of the stream behind it, against what the model as it was
 * makes of the same sequences, with inputs as the rounded blocks before it give them. Some sequences are only judged by: of the
 * states on the way the one with the least error on those is kept, the start among them, so that what comes out is never worse
 * there than what went in, and a descent that diverges leaves no trace.
 */
import type { Engine } from '@bitsmith/ggml';
import type { BlockWeights } from '../../transformer/block-weights.js';
import type { BlockShape } from '../../transformer/shape.js';
import { fillTranspose, type WeightArray } from '../../transformer/weights.js';
import { inLanes } from '../../run/lanes.js';
import type { LearnedMatrix } from './learned-matrix.js';
import type { LearningLane } from './learning-lane.js';
import type { LearnedSettings } from './options.js';
import { WeightGradients } from './weight-gradients.js';

/** A sequence at a block. */
export interface BlockSample {
  /** The stream before it, as rounded blocks give it. */
  readonly input: Float32Array;
  /** The stream behind it in the model as it was. */
  readonly target: Float32Array;
}

export interface BlockLearning {
  readonly engine: Engine;
  readonly block: BlockShape;
  /** Filled with what is computed with: of learned matrices what they round to. */
  readonly room: BlockWeights;
  readonly matrices: ReadonlyMap<string, LearnedMatrix>;
  readonly lanes: readonly LearningLane[];
  readonly train: readonly BlockSample[];
  readonly judge: readonly BlockSample[];
  readonly positions: number;
  readonly channelWeights: Float32Array;
  readonly settings: LearnedSettings;
}

/** Mean weighted squared errors of the stream behind the block, over the sequences that are judged by. */
export interface BlockLearned {
  readonly startError: number;
  readonly error: number;
  /** After so many steps; 0 where the start was best. */
  readonly keptStep: number;
}

/** Times that the state is judged on the way. */
const JUDGED = 16;

/** Learns; the matrices then hold what was best, and so does the room. */
export async function learnBlock(learning: BlockLearning): Promise<BlockLearned> {
  const { matrices, settings, room, positions, engine } = learning;
  const { steps, batch } = settings;
  const shapes = new Map([...matrices.keys()].map((name) => [name, arrayOf(room, name).shape]));
  const gradients = new WeightGradients(engine, shapes, positions * batch);
  try {
    round(learning);
    const startError = await judged(learning);
    let best = { error: startError, keptStep: 0 };
    for (let step = 0; step < steps; step++) {
      const finite = await descend(learning, gradients, step);
      if (!finite) break;
      round(learning);
      if (!isJudged(step + 1, steps)) continue;
      const error = await judged(learning);
      if (!(error < best.error)) continue;
      best = { error, keptStep: step + 1 };
      for (const matrix of matrices.values()) matrix.keep();
    }
    for (const [name, matrix] of matrices) {
      const array = arrayOf(room, name);
      matrix.finish(array.values);
      fillTranspose(array);
    }
    return { startError, ...best };
  } finally {
    gradients.dispose();
  }
}

function isJudged(step: number, steps: number): boolean {
  return step === steps || step % Math.max(1, Math.round(steps / JUDGED)) === 0;
}

/** Puts the weights as they round now where the lanes compute with them. */
function round({ room, matrices }: BlockLearning): void {
  for (const [name, matrix] of matrices) {
    const array = arrayOf(room, name);
    matrix.round(array.values);
    fillTranspose(array);
  }
}

/** One step of all matrices; false, and nothing moved, where the error is not finite any more. */
async function descend(learning: BlockLearning, gradients: WeightGradients, step: number): Promise<boolean> {
  const { train, matrices, lanes, settings, block } = learning;
  const { batch, steps, rate } = settings;
  const samples = Array.from({ length: batch }, (_, at) => train[(step * batch + at) % train.length]);
  let finite = true;
  await inEach(lanes, samples, async (lane, { input, target }, at) => {
    lane.input.set(input);
    lane.target.set(target);
    gradients.place(await lane.backward(block), at);
    if (!lane.output.every(Number.isFinite)) finite = false;
  });
  if (!finite) return false;
  const found = await gradients.compute(lanes.length);
  for (const [name, matrix] of matrices)
    matrix.step(found.get(name) as Float32Array, rate * (1 - step / steps));
  return true;
}

/** The error over the sequences that are judged by; NaN where it is not finite. */
async function judged({ judge, lanes, block, channelWeights }: BlockLearning): Promise<number> {
  const errors: number[] = [];
  await inEach(lanes, judge, async (lane, { input, target }, at) => {
    lane.input.set(input);
    await lane.forward(block);
    errors[at] = meanSquare(lane.output, target, channelWeights);
  });
  return errors.reduce((sum, error) => sum + error, 0) / errors.length;
}

function meanSquare(found: Float32Array, wanted: Float32Array, channelWeights: Float32Array): number {
  const width = channelWeights.length;
  let sum = 0;
  for (let i = 0; i < found.length; i++) sum += channelWeights[i % width] * (found[i] - wanted[i]) ** 2;
  return sum / found.length;
}

/** Work on each sample, as many at once as there are lanes. */
export async function inEach<Sample>(
  lanes: readonly LearningLane[],
  samples: readonly Sample[],
  work: (lane: LearningLane, sample: Sample, at: number) => Promise<void>,
): Promise<void> {
  const free = [...lanes];
  await inLanes(free.length, samples.entries(), async ([at, sample]) => {
    const lane = free.pop() as LearningLane;
    try {
      await work(lane, sample, at);
    } finally {
      free.push(lane);
    }
  });
}

function arrayOf(room: BlockWeights, name: string): WeightArray {
  return room.matrices.get(name) as WeightArray;
}
