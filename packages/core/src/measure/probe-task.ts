/**
 * @file In the engine: the true loss of quantizing one tensor alone. The tensor's quantized bytes take the place of its
 * weights in the live, memory-mapped model, text runs through, the original is put back exactly, and the KL divergence
 * from the untouched model is the tensor's price at that scheme.
 */
import { BitsmithError, tensorByteLength, type TensorType } from '@bitsmith/formats';
import { alignedBytes, type LlamaModel, WeightSlots } from '@bitsmith/ggml';
import { EncoderLane, weightsFor } from '../encode/encode-rows.js';
import { cutIntoSlabs } from '../encode/slabs.js';
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

/** The untouched model's predictions at every scored position of a batch. */
interface Baseline {
  readonly firstScored: number;
  readonly probabilities: Float32Array;
  readonly references: readonly ReferenceDistribution[];
}

export const runProbe: TaskHandler<ProbeTask> = async (parameters, report, settings) => {
  const { ggufPath, contextTokens, chunks, tensors } = parameters;
  // Quantized bytes take the place of weights in main memory: a GPU would go on with its own copy.
  const model = await openLlama(ggufPath, settings, 'cpu');
  const files = await WeightFiles.open(parameters.files);
  const runner = ChunkRunner.create(model, {
    contextTokens,
    threads: settings.threads,
    chunks: chunks.length,
  });
  try {
    const importance = await readImportance(parameters.importancePath);
    const slots = WeightSlots.discover(runner.context);
    const batches = runner.batches(chunks);
    for (const group of cutIntoGroups(tensors, batches.length)) {
      const found = group.map((): number[] => []);
      for (const batch of batches) {
        const baseline = measureBaseline(runner, model, batch);
        for (const [index, { name, scheme }] of group.entries()) {
          slots.replace(name, scheme, await encodeWhole(files, importance, name, scheme, settings));
          try {
            found[index].push(...divergences(runner, model, batch, baseline));
          } finally {
            slots.restore(name);
          }
          if (batch === batches.at(-1)) report(summarize(name, found[index]));
        }
      }
    }
    return null;
  } finally {
    runner.dispose();
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

function measureBaseline(runner: ChunkRunner, model: LlamaModel, batch: readonly Int32Array[]): Baseline {
  const firstScored = firstScoredPosition(runner.contextTokens);
  const vocabulary = model.vocabulary.size;
  const logits = runner.run(batch, firstScored);
  const probabilities = new Float32Array(logits.length);
  const references = Array.from({ length: logits.length / vocabulary }, (_, row) =>
    referenceDistribution(logits, row * vocabulary, vocabulary, probabilities, row * vocabulary),
  );
  return { firstScored, probabilities, references };
}

function divergences(
  runner: ChunkRunner,
  model: LlamaModel,
  batch: readonly Int32Array[],
  { firstScored, probabilities, references }: Baseline,
): number[] {
  const vocabulary = model.vocabulary.size;
  const logits = runner.run(batch, firstScored);
  return references.map((reference, row) => {
    const offset = row * vocabulary;
    return divergence(reference, probabilities, offset, logits, offset, vocabulary).klNats;
  });
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
