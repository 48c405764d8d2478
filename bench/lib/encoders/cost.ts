/**
 * @file What feedback and refit cost at rows of 4,096: the whole job in a process of its own, on a generated block with all of its matrices
 * in Q4_K, beside the nearest codes, and beside the multiplications that it cannot do without. The embedding stays as it is: no
 * statistics are taken of what is only looked up.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { EncoderMethod } from '@bitsmith/core';
import { elementCount, type GgufMetadata, readGguf } from '@bitsmith/formats';
import { benchFolder, FileInput } from '../file.js';
import { generateModel, type ModelShape } from '../generated-model.js';
import { type WatchedJob, watchJob } from '../job.js';
import { Peer } from '../peer.js';
import { type Bar, row, type Row, say } from '../report.js';
import { mean } from '../statistics.js';

const THREADS = 2;
const WIDTH = 4096;
const SCHEME = 'Q4_K';
const wide: ModelShape = {
  name: 'generated-4096',
  blocks: 1,
  width: WIDTH,
  feedForward: WIDTH,
  heads: 32,
  keyValueHeads: 8,
  vocabulary: 4096,
  contextLength: 2048,
};
/** Statistics of so little text say nothing about a model; what encoding with them costs, they do. */
const texts = { contextTokens: 256, calibrationTokens: 2048 } as const;

const MEGA = 1e6;
const RATE: Bar = { of: 'ours', least: 1 };
const FLOOR: Bar = { of: 'ratio', most: 2 };

/** @param tokenizer metadata of a model whose tokenizer is taken */
export async function costRows(tokenizer: GgufMetadata): Promise<Row[]> {
  const folder = await benchFolder(`encoders-cost-${process.pid}`);
  try {
    const model = path.join(folder, `${wide.name}.gguf`);
    await generateModel(model, wide, tokenizer, 3);
    const matrices = await matricesOf(model);
    const weights = [...matrices.values()].reduce((sum, count) => sum + count, 0);
    say(`${wide.name}: ${weights.toLocaleString('en')} weights in ${SCHEME}`);
    const before = await productRate();
    const feedback = await encoded(folder, model, [...matrices.keys()], 'feedback+refit');
    const nearest = await encoded(folder, model, [...matrices.keys()], 'nearest');
    const productsPerSecond = mean([before, await productRate()]);
    return [...timeRows(weights, feedback, nearest, productsPerSecond), ...memoryRows(feedback, nearest)];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Weights of every matrix that is a product's. */
async function matricesOf(file: string): Promise<ReadonlyMap<string, number>> {
  const input = await FileInput.open(file);
  try {
    const { tensors } = await readGguf(input);
    const matrices = tensors.filter(({ name, shape }) => shape.length > 1 && name !== 'token_embd.weight');
    return new Map(matrices.map(({ name, shape }) => [name, elementCount(shape)]));
  } finally {
    await input.close();
  }
}

async function productRate(): Promise<number> {
  const peer = new Peer(THREADS);
  try {
    return await peer.productRate(THREADS);
  } finally {
    await peer.close();
  }
}

interface Encoded {
  readonly seconds: number;
  /** Anonymous memory of the command and its engine while they encode, in bytes. */
  readonly peakBytes: number;
  /** What the job said that encoding works on, in MB; undefined where it said nothing. */
  readonly predictedMb: number | undefined;
}

async function encoded(
  folder: string,
  model: string,
  matrices: readonly string[],
  encoder: EncoderMethod,
): Promise<Encoded> {
  say(`  ${encoder} ...`);
  const said: string[] = [];
  const job = await watchJob(
    {
      ...texts,
      model,
      output: path.join(folder, 'output.gguf'),
      home: path.join(folder, 'home'),
      threads: THREADS,
      encoder,
      // Nothing is left to be planned, so nothing is measured for it.
      method: 'rules',
      tensors: {
        'token_embd.weight': 'keep',
        ...Object.fromEntries(matrices.map((name) => [name, SCHEME])),
      },
      verify: false,
    },
    (line) => {
      said.push(line);
      say(line);
    },
  );
  return describe(job, said);
}

function describe({ result, peaks, notes }: WatchedJob, said: readonly string[]): Encoded {
  const predicted = [...notes, ...said].map((line) => /worked on in (\d+) MB/.exec(line)?.[1]).find(Boolean);
  return {
    seconds: result.seconds.encode ?? Number.NaN,
    peakBytes: peaks.get('encode')?.anonymous ?? Number.NaN,
    predictedMb: predicted === undefined ? undefined : Number(predicted),
  };
}

function timeRows(weights: number, feedback: Encoded, nearest: Encoded, productsPerSecond: number): Row[] {
  const about = { case: `${wide.name}: cost` };
  const rateOf = ({ seconds }: Encoded): number => weights / MEGA / seconds;
  return [
    row({ ...about, metric: `weights in ${SCHEME}, rows of ${WIDTH.toLocaleString('en')}`, ours: weights }),
    row({
      ...about,
      metric: 'feedback+refit, Mweights/s; peer: nearest',
      ours: rateOf(feedback),
      peer: rateOf(nearest),
      bar: RATE,
    }),
    row({
      ...about,
      metric: `feedback+refit, seconds; peer: its products at ${(productsPerSecond / 1e9).toFixed(1)} GFLOP/s`,
      ours: feedback.seconds,
      peer: operationsOf(weights) / productsPerSecond,
      bar: FLOOR,
    }),
  ];
}

/** Inputs of the block that matrices share (attention, its output, feed-forward, its output), and the head's. */
const INPUTS = 5;

/**
 * Multiplications and additions at the least: an error of each weight pushed on to the half of its row that is behind it on average,
 * twice a row's error under the Gram matrix of other text (the nearest codes' and ours), and a factor of each input's. Matrices count as
 * whole ones, as they did when the bar was set: what their symmetry saves, two fifths of all, is the encoder's.
 */
function operationsOf(weights: number): number {
  const pushing = 2 * (WIDTH / 2);
  const checking = 2 * (2 * WIDTH);
  return weights * (pushing + checking) + (INPUTS * WIDTH ** 3) / 3;
}

function memoryRows(feedback: Encoded, nearest: Encoded): Row[] {
  const about = { case: `${wide.name}: memory` };
  return [
    row({
      ...about,
      metric: 'peak while encoding with feedback+refit, MB; peer: predicted',
      ours: feedback.peakBytes / MEGA,
      peer: feedback.predictedMb,
    }),
    row({
      ...about,
      metric: '  more than with the nearest codes, MB; peer: predicted',
      ours: (feedback.peakBytes - nearest.peakBytes) / MEGA,
      peer: feedback.predictedMb,
    }),
  ];
}
