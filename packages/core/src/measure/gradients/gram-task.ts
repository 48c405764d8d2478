/** @file In the engine: Gram matrices of the inputs of every weight matrix, a safetensors file a block, and one for the two ends. */
import { layoutSafetensors, writeSafetensors } from '@bitsmith/formats';
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { writeFresh } from '../../io/file-sink.js';
import { WeightFiles } from '../../model/weight-files.js';
import { shapeOf } from './gradient-task.js';
import { blockTensorName } from '../transformer/block-weights.js';
import { GramPass } from '../transformer/gram-pass.js';
import type { TransformerShape } from '../transformer/shape.js';

export type GramTask = TaskType<
  {
    readonly files: readonly string[];
    readonly positions: number;
    readonly sequences: readonly Int32Array[];
    /** Of the labels that are drawn. */
    readonly seed: number;
    /** Where streams go that memory has no room for. */
    readonly scratchPath: string;
    /** Files of the blocks in order, and last of the two ends; null where it is there already. */
    readonly outputs: readonly (string | null)[];
  },
  { readonly index: number },
  null
>;

/** Streams before every block that are kept in memory. */
const MEMORY_BYTES = 256 * 2 ** 20;

function streamBytes(
  { width, blocks }: TransformerShape,
  { positions, sequences }: GramTask['parameters'],
): number {
  return 4 * width * blocks.length * positions * sequences.length;
}

export const runGrams: TaskHandler<GramTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const model = await shapeOf(parameters.files[0], files);
    const { positions, outputs } = parameters;
    const pass = await GramPass.open({
      engine,
      files,
      model,
      positions,
      lanes: settings.threads,
      seed: parameters.seed,
      firstScored: 0,
      scratchPath: streamBytes(model, parameters) > MEMORY_BYTES ? parameters.scratchPath : null,
    });
    try {
      const sequences = parameters.sequences.map((tokens, index) => ({ index, tokens }));
      await pass.run(sequences, async (block, grams) => {
        const index = block ?? model.blocks.length;
        const output = outputs[index];
        if (output === null || output === undefined) return;
        await writeGrams(output, block, grams);
        report({ index });
      });
    } finally {
      pass.dispose();
    }
    return null;
  } finally {
    await files.close();
  }
};

async function writeGrams(
  path: string,
  block: number | null,
  grams: ReadonlyMap<string, Float32Array>,
): Promise<void> {
  const named = new Map(
    [...grams].map(([part, gram]) => [block === null ? part : blockTensorName(block, part), gram]),
  );
  const layout = layoutSafetensors({
    tensors: [...named].map(([name, gram]) => {
      const width = Math.round(Math.sqrt(gram.length));
      return { name, dtype: 'F32', shape: [width, width] };
    }),
  });
  await writeFresh(path, (sink) =>
    writeSafetensors(sink, layout, async ({ name }, _, target) => {
      const gram = named.get(name) as Float32Array;
      await target.write(new Uint8Array(gram.buffer, gram.byteOffset, gram.byteLength));
    }),
  );
}
