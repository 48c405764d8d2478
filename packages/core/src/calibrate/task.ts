/** @file In the engine: runs ranges of chunks and collects the importance matrix of each into a file of its own. */
import { BitsmithError, layoutImatrix, writeImatrix } from '@bitsmith/formats';
import type { LlamaModel, ObservedNode } from '@bitsmith/ggml';
import { ChunkRunner } from '../engine/forward.js';
import type { TaskHandler, TaskType } from '../engine/task-type.js';
import { openLlama } from '../engine/session.js';
import { writeAtomically } from '../io/file-sink.js';
import { ImportanceAccumulator } from './accumulator.js';
import { ImportanceObserver } from './observer.js';

export interface CalibrationRange {
  readonly chunks: readonly Int32Array[];
  /** Where the range's importance matrix goes. */
  readonly output: string;
}

export type CalibrateTask = TaskType<
  {
    readonly ggufPath: string;
    readonly contextTokens: number;
    readonly dataset: string;
    readonly threads: number;
    readonly ranges: readonly CalibrationRange[];
  },
  { readonly tokens: number },
  { readonly weights: number }
>;

export const runCalibrate: TaskHandler<CalibrateTask> = async (parameters, report, settings) => {
  const model = await openLlama(parameters.ggufPath, settings);
  let weights = 0;
  for (const range of parameters.ranges) {
    weights = await collectRange(model, range, parameters, report);
  }
  return { weights };
};

async function collectRange(
  model: LlamaModel,
  range: CalibrationRange,
  { contextTokens, dataset, threads }: CalibrateTask['parameters'],
  report: (event: CalibrateTask['event']) => void,
): Promise<number> {
  const accumulator = new ImportanceAccumulator(model.vocabulary.size);
  const observer = new ImportanceObserver(accumulator);
  const runner = ChunkRunner.create(model, {
    contextTokens,
    threads,
    chunks: range.chunks.length,
    observe: {
      wants: (node: ObservedNode) => observer.wants(node),
      take: (node: ObservedNode) => observer.take(node),
    },
  });
  try {
    for (const batch of runner.batches(range.chunks)) {
      // Outputs everywhere: otherwise the last block computes only the positions asked for.
      runner.run(batch, 0);
      for (const chunk of batch) accumulator.countTokens(chunk);
      report({ tokens: batch.length * contextTokens });
    }
  } finally {
    runner.dispose();
  }
  const broken = accumulator.nonFinite();
  if (broken.length > 0) {
    throw new BitsmithError(
      'analysis',
      'ACTIVATION_NOT_FINITE',
      `expected finite activations, found NaN or infinity at the input of ${broken[0]}`,
      {
        suggestion:
          'The model overflows on this text in its stored precision. Try another text, or a source in F32 or BF16.',
      },
    );
  }
  const layout = layoutImatrix(
    accumulator.toImportanceMatrix({ dataset, chunks: range.chunks.length, contextTokens }),
  );
  await writeAtomically(range.output, (sink) => writeImatrix(sink, layout));
  return accumulator.size;
}
