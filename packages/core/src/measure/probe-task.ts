/**
 * @file In the engine: the true loss of quantizing one tensor alone. The tensor's quantized bytes take the place of its
 * weights in the live, memory-mapped model, text runs through, the original is put back exactly, and the KL divergence
 * from the untouched model is the tensor's price at that scheme.
 */
import { BitsmithError, tensorByteLength, type TensorType } from '@bitsmith/formats';
import { alignedBytes, type LlamaModel, WeightSlots } from '@bitsmith/ggml';
import { EncoderLane, weightsFor } from '../encode/encode-rows.js';
import { cutIntoSlabs } from '../encode/slabs.js';
import { fitsTwice } from '../engine/batch-limits.js';
import { ChunkRunner } from '../engine/forward.js';
import type { EngineSettings, TaskHandler, TaskType } from '../engine/task-type.js';
import { nativeEngine, openLlama } from '../engine/session.js';
import { divergence, type ReferenceDistribution, referenceDistribution } from '../evaluate/divergence.js';
import { meanWithError } from '../evaluate/summary.js';
import { readImportance } from '../io/read-importance.js';
import { WeightFiles } from '../model/weight-files.js';
import { inLanes } from '../run/lanes.js';

export type ProbeTask = TaskType<
  {
    readonly ggufPath: string;
    readonly files: readonly string[];
    readonly importancePath: string;
    readonly contextTokens: number;
    readonly chunks: readonly Int32Array[];
    readonly tensors: readonly { readonly name: string; readonly scheme: TensorType }[];
  },
  { readonly tensor: string; readonly klNats: number; readonly standardError: number },
  null
>;

/** Weights a lane encodes at once. */
const SLAB_WEIGHTS = 1 << 19;

/**
 * Tensors that share one run of the untouched model where the text takes several batches: its predictions are kept for
 * one batch at a time, since those of a whole text would be gigabytes with a large vocabulary.
 */
const GROUP_TENSORS = 16;

/**
 * Each batch is run in halves, side by side where there are threads for it: threads that share one graph wait for each
 * other at every node. The halves are the same for any number of threads, and so are the numbers. Where the logits of two
 * contexts would take too much memory, there is one.
 */
const HALVES = 2;

/** The untouched model's predictions at every scored position of half a batch. */
interface Baseline {
  readonly chunks: readonly Int32Array[];
  readonly probabilities: Float32Array;
  readonly references: readonly ReferenceDistribution[];
}

export const runProbe: TaskHandler<ProbeTask> = async (parameters, report, settings) => {
  const { ggufPath, contextTokens, chunks, tensors } = parameters;
  // Quantized bytes take the place of weights in main memory: a GPU would go on with its own copy.
  const model = await openLlama(ggufPath, settings, 'cpu');
  const files = await WeightFiles.open(parameters.files);
  const halves = ProbeHalves.create(model, contextTokens, chunks.length, settings.threads);
  try {
    const importance = await readImportance(parameters.importancePath);
    const slots = WeightSlots.discover(model);
    const batches = halves.batches(chunks);
    for (const group of cutIntoGroups(tensors, batches.length)) {
      const found = group.map((): number[] => []);
      for (const batch of batches) {
        const baselines = await halves.baselines(batch);
        for (const [index, { name, scheme }] of group.entries()) {
          slots.replace(name, scheme, await encodeWhole(files, importance, name, scheme, settings));
          try {
            found[index].push(...(await halves.divergences(baselines)));
          } finally {
            slots.restore(name);
          }
          if (batch === batches.at(-1)) report(summarize(name, found[index]));
        }
      }
    }
    return null;
  } finally {
    halves.dispose();
    await files.close();
  }
};

/** With a single batch its baseline serves all tensors. */
export function cutIntoGroups<Item>(items: readonly Item[], batches: number): (readonly Item[])[] {
  const size = batches === 1 ? Math.max(1, items.length) : GROUP_TENSORS;
  const groups: (readonly Item[])[] = [];
  for (let first = 0; first < items.length; first += size) groups.push(items.slice(first, first + size));
  return groups;
}

function summarize(tensor: string, klNats: readonly number[]): ProbeTask['event'] {
  const mean = meanWithError(klNats);
  if (!Number.isFinite(mean.value)) throw notFinite(tensor);
  return { tensor, klNats: mean.value, standardError: mean.standardError };
}

/** The early positions of a chunk have little context to lose; they are left out. */
function firstScoredPosition(contextTokens: number): number {
  return Math.floor(contextTokens / 8);
}

/** Two contexts over one model. */
class ProbeHalves {
  private readonly runners: readonly ChunkRunner[];
  private readonly vocabulary: number;
  private readonly firstScored: number;
  private readonly sideBySide: boolean;

  private constructor(runners: readonly ChunkRunner[], vocabulary: number, sideBySide: boolean) {
    this.runners = runners;
    this.vocabulary = vocabulary;
    this.firstScored = firstScoredPosition(runners[0].contextTokens);
    this.sideBySide = sideBySide;
  }

  static create(model: LlamaModel, contextTokens: number, chunks: number, threads: number): ProbeHalves {
    const count = fitsTwice(contextTokens, model.vocabulary.size) ? Math.min(HALVES, chunks) : 1;
    const options = {
      contextTokens,
      chunks: Math.ceil(chunks / count),
      sharedBy: count,
      threads: Math.max(1, Math.floor(threads / count)),
    };
    const runners = Array.from({ length: count }, () => ChunkRunner.create(model, options));
    return new ProbeHalves(runners, model.vocabulary.size, threads >= count);
  }

  /** The chunks in batches that all halves together take at once. */
  batches(chunks: readonly Int32Array[]): Int32Array[][] {
    const size = this.runners.length * this.runners[0].sequences;
    const batches: Int32Array[][] = [];
    for (let first = 0; first < chunks.length; first += size) batches.push(chunks.slice(first, first + size));
    return batches;
  }

  /** Predictions of the model as it is. */
  baselines(batch: readonly Int32Array[]): Promise<Baseline[]> {
    const share = Math.ceil(batch.length / this.runners.length);
    const parts = this.runners.map((_, index) => batch.slice(index * share, (index + 1) * share));
    return this.inEach(
      parts.filter((part) => part.length > 0),
      (chunks) => chunks,
      (chunks, logits) => this.baselineOf(chunks, logits),
    );
  }

  /** KL of the model as it is now from the baselines, at every position in order. */
  async divergences(baselines: readonly Baseline[]): Promise<number[]> {
    const { vocabulary } = this;
    const found = await this.inEach(
      baselines,
      ({ chunks }) => chunks,
      ({ references, probabilities }, logits) =>
        references.map((reference, row) => {
          const offset = row * vocabulary;
          return divergence(reference, probabilities, offset, logits, offset, vocabulary).klNats;
        }),
    );
    return found.flat();
  }

  dispose(): void {
    for (const runner of this.runners) runner.dispose();
  }

  /** Runs each item's chunks on a runner of its own; `read` gets the logits before the runner goes on. */
  private async inEach<Item, Result>(
    items: readonly Item[],
    chunksOf: (item: Item) => readonly Int32Array[],
    read: (item: Item, logits: Float32Array) => Result,
  ): Promise<Result[]> {
    const results: Result[] = [];
    await inLanes(this.sideBySide ? items.length : 1, items.entries(), async ([index, item]) => {
      const logits = await this.runners[index].runAsync(chunksOf(item), this.firstScored);
      results[index] = read(item, logits);
    });
    return results;
  }

  private baselineOf(chunks: readonly Int32Array[], logits: Float32Array): Baseline {
    const { vocabulary } = this;
    const probabilities = new Float32Array(logits.length);
    const references = Array.from({ length: logits.length / vocabulary }, (_, row) =>
      referenceDistribution(logits, row * vocabulary, vocabulary, probabilities, row * vocabulary),
    );
    return { chunks, probabilities, references };
  }
}

/** The whole tensor in one scheme, where the model can read it. */
async function encodeWhole(
  files: WeightFiles,
  importance: Awaited<ReturnType<typeof readImportance>>,
  name: string,
  scheme: TensorType,
  settings: EngineSettings,
): Promise<Uint8Array> {
  const engine = nativeEngine(settings);
  const tensor = files.tensor(name);
  const bytes = alignedBytes(tensorByteLength(scheme, tensor.shape));
  const rowBytes = bytes.byteLength / tensor.rows;
  const weights = weightsFor(importance, tensor, scheme);
  const lanes = Array.from({ length: settings.threads }, () => new EncoderLane(engine, files));
  const slabs = cutIntoSlabs(
    { ...tensor, rowsPerMatrix: tensor.shape[1] },
    Math.min(SLAB_WEIGHTS, Math.ceil((tensor.rows * tensor.rowLength) / settings.threads)),
  );
  await inLanes(settings.threads, slabs, async (slab) => {
    const lane = lanes.pop() as EncoderLane;
    bytes.set(await lane.encode(tensor, slab, scheme, weights), slab.firstRow * rowBytes);
    lanes.push(lane);
  });
  return bytes;
}

function notFinite(name: string): BitsmithError {
  return new BitsmithError(
    'analysis',
    'LOGITS_NOT_FINITE',
    `expected finite predictions with ${name} quantized, found NaN or infinity`,
    {
      suggestion: 'The model overflows in its stored precision on this text. Try another text.',
    },
  );
}
