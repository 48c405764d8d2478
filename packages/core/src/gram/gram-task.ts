/** @file In the engine: Gram matrices of the inputs of every weight matrix, a safetensors file a block, and one for the two ends. */
import { writeGrams } from './gram-files.js';
import type { SpanTriangle } from './span-triangle.js';
import type { TaskHandler, TaskType } from '../engine/task-type.js';
import { nativeEngine } from '../engine/session.js';
import { collectGarbage } from '../run/collect-garbage.js';
import { WeightFiles } from '../model/weight-files.js';
import { shapeOf } from '../transformer/shape-of.js';
import { KEPT_STREAMS_BYTES, streamBytes } from '../transformer/activations.js';
import { blockTensorName } from '../transformer/block-weights.js';
import { GramPass } from './gram-pass.js';
import { openWithin, type PassMemory } from '../transformer/pass-within.js';

export type GramTask = TaskType<
  {
    readonly files: readonly string[];
    readonly positions: number;
    readonly sequences: readonly Int32Array[];
    /** Of the labels that are drawn. */
    readonly seed: number;
    /** Bytes that the pass may take; null: no limit. */
    readonly memoryBytes: number | null;
    /** Where streams go that memory has no room for. */
    readonly scratchPath: string;
    /** Files of the blocks in order, and last of the two ends; null where it is there already. */
    readonly outputs: readonly (string | null)[];
  },
  { readonly type: 'block'; readonly index: number } | ({ readonly type: 'memory' } & PassMemory),
  null
>;

export const runGrams: TaskHandler<GramTask> = async (...task) => {
  await measured(...task);
  // Sums and streams would stay beside what is encoded next.
  collectGarbage();
  return null;
};

async function measured(...[parameters, report, settings]: Parameters<TaskHandler<GramTask>>): Promise<void> {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const model = await shapeOf(parameters.files[0], files);
    const { positions, outputs, seed, sequences: texts } = parameters;
    const all = { engine, files, model, positions, seed, firstScored: 0, scratchPath: null };
    const pass = await openWithin(
      (lanes) => GramPass.open({ ...all, lanes }),
      {
        ...parameters,
        threads: settings.threads,
        sequences: texts.length,
        streamBytes: streamBytes(model.width, model.blocks.length, positions * texts.length),
        keptBytes: KEPT_STREAMS_BYTES,
        otherwise: '--encoder nearest, which needs no statistics.',
      },
      (memory) => report({ type: 'memory', ...memory }),
    );
    try {
      const sequences = texts.map((tokens, index) => ({ index, tokens }));
      await pass.run(sequences, async (block, grams) => {
        const index = block ?? model.blocks.length;
        const output = outputs[index];
        if (output === null || output === undefined) return;
        await writeGrams(output, namedBy(block, grams));
        report({ type: 'block', index });
      });
    } finally {
      pass.dispose();
    }
  } finally {
    await files.close();
  }
}

/** By the names of whole tensors. */
function namedBy(
  block: number | null,
  grams: ReadonlyMap<string, SpanTriangle>,
): ReadonlyMap<string, SpanTriangle> {
  if (block === null) return grams;
  return new Map([...grams].map(([part, gram]) => [blockTensorName(block, part), gram]));
}
