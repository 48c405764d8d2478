/** @file In the engine: the largest value of every input of a matrix over a text, which static scales of activations follow from. */
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { shapeOf } from '../../transformer/shape-of.js';
import { InputPass, type InputReader } from '../../transformer/input-pass.js';
import { WeightFiles } from '../../model/weight-files.js';
import { scaleOf } from './activation-codes.js';

export type InputRangesTask = TaskType<
  {
    readonly files: readonly string[];
    readonly positions: number;
    readonly sequences: readonly Int32Array[];
  },
  { readonly done: number; readonly total: number },
  /** Scales of codes of 8 bits, by the first matrix that reads an input. */
  { readonly scales: Readonly<Record<string, number>> }
>;

export const runInputRanges: TaskHandler<InputRangesTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const model = await shapeOf(parameters.files[0], files);
    const { positions } = parameters;
    const shared = { engine, files, model, positions, lanes: settings.threads, seed: 0, firstScored: 0 };
    const pass = await InputPass.open({ ...shared, scratchPath: null });
    const scales: Record<string, number> = {};
    const reader: InputReader = {
      read: (tensor, _sequence, values) => (scales[tensor] = Math.max(scales[tensor] ?? 0, scaleOf(values))),
      done: (block) => Promise.resolve(report({ done: block + 1, total: model.blocks.length })),
    };
    try {
      await pass.run(
        parameters.sequences.map((tokens, index) => ({ index, tokens })),
        reader,
      );
    } finally {
      pass.dispose();
    }
    return { scales };
  } finally {
    await files.close();
  }
};
