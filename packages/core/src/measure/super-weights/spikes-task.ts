/** @file In the engine: one forward pass that looks for activation spikes, and the weights that they point at. */
import { decodeRows } from '@bitsmith/ggml';
import { ChunkRunner } from '../../engine/forward.js';
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine, openLlama } from '../../engine/session.js';
import { WeightFiles } from '../../model/weight-files.js';
import { type ProjectionSpikes, SpikeObserver } from './spike-observer.js';

/** A projection's spikes with the weight between them. */
export interface SpikeWeight extends ProjectionSpikes {
  /** The weight in the output spike's row and the input spike's column. */
  readonly weight: number;
  /** Token ids at the two spikes. */
  readonly inputToken: number;
  readonly outputToken: number;
}

export type SpikesTask = TaskType<
  {
    readonly ggufPath: string;
    readonly files: readonly string[];
    readonly contextTokens: number;
    readonly chunks: readonly Int32Array[];
  },
  { readonly tokens: number },
  { readonly spikes: readonly SpikeWeight[] }
>;

export const runSpikes: TaskHandler<SpikesTask> = async (parameters, report, settings) => {
  const { ggufPath, contextTokens, chunks } = parameters;
  const model = await openLlama(ggufPath, settings, 'cpu');
  const observer = new SpikeObserver();
  const { threads } = settings;
  const runner = ChunkRunner.create(model, { contextTokens, threads, chunks: 1, observe: observer });
  try {
    for (const [sequence, chunk] of chunks.entries()) {
      observer.startSequence(sequence);
      // Outputs everywhere: otherwise the last block computes only the positions asked for.
      runner.run([chunk], 0);
      report({ tokens: contextTokens });
    }
  } finally {
    runner.dispose();
  }
  const files = await WeightFiles.open(parameters.files);
  try {
    const spikes: SpikeWeight[] = [];
    for (const found of observer.spikes()) {
      const { input, output } = found;
      const { type, rowLength, rowBytes } = files.tensor(found.tensor);
      const bytes = new Uint8Array(rowBytes);
      await files.readRows(found.tensor, output.channel, bytes);
      const row = new Float32Array(rowLength);
      await decodeRows(nativeEngine(settings), { type, bytes, rows: 1, rowLength }, row);
      spikes.push({
        ...found,
        weight: row[input.channel],
        inputToken: chunks[input.sequence][input.position],
        outputToken: chunks[output.sequence][output.position],
      });
    }
    return { spikes };
  } finally {
    await files.close();
  }
};
