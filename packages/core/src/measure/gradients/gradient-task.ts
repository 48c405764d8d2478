/** @file In the engine: squared gradients of whole sequences, a file each, within a limit of memory that is settled before it is taken. */
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { WeightFiles } from '../../model/weight-files.js';
import { streamBytes } from '../../transformer/activations.js';
import { writeGradients } from '../../transformer/fisher-file.js';
import type { PassSettings, Sequence } from '../../transformer/blocks.js';
import { openWithin, type PassMemory } from '../../transformer/pass-within.js';
import { type PassSeconds, SequencePass } from '../../transformer/sequence-gradients.js';
import { shapeOf } from '../../transformer/shape-of.js';

export type GradientTask = TaskType<
  {
    readonly files: readonly string[];
    /** Of every sequence. */
    readonly positions: number;
    readonly firstScored: number;
    readonly seed: number;
    readonly sequences: readonly {
      readonly index: number;
      readonly tokens: Int32Array;
      readonly output: string;
    }[];
    /** Bytes that the pass may take; null: no limit but the machine's. */
    readonly memoryBytes: number | null;
    /** Where activations go that memory has no room for. */
    readonly scratchPath: string;
  },
  | ({ readonly type: 'memory' } & PassMemory)
  | { readonly type: 'sequence'; readonly index: number }
  | ({ readonly type: 'seconds' } & Readonly<PassSeconds>),
  null
>;

/** Sequences that share one walk through the blocks: what an interruption can lose. */
const LEAST_GROUP = 4;
const MOST_GROUP = 8;
/** A group grows as long as what it keeps stays below this. */
const GROUP_BYTES = 256 * 2 ** 20;

function groupSize({ model, positions, lanes }: PassSettings): number {
  const kept = streamBytes(model.width, model.blocks.length, positions);
  return Math.max(lanes, LEAST_GROUP, Math.min(MOST_GROUP, Math.floor(GROUP_BYTES / kept)));
}

export const runGradient: TaskHandler<GradientTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const model = await shapeOf(parameters.files[0], files);
    const { positions, firstScored, seed } = parameters;
    const roomy: PassSettings = {
      engine,
      files,
      model,
      positions,
      firstScored,
      seed,
      lanes: settings.threads,
      scratchPath: null,
    };
    const size = groupSize(roomy);
    const sequences = Math.min(parameters.sequences.length, size);
    const pass = await openWithin(
      (lanes) => SequencePass.open({ ...roomy, lanes }),
      {
        ...parameters,
        threads: settings.threads,
        sequences,
        streamBytes: streamBytes(model.width, model.blocks.length, positions * sequences),
        otherwise: '--method rtn, which runs on the mapped file.',
      },
      (memory) => report({ type: 'memory', ...memory }),
    );
    try {
      for (let first = 0; first < parameters.sequences.length; first += size) {
        const group = parameters.sequences.slice(first, first + size);
        const found = await pass.run(group.map(({ index, tokens }): Sequence => ({ index, tokens })));
        for (const [at, { index, output }] of group.entries()) {
          await writeGradients(output, found[at]);
          report({ type: 'sequence', index });
        }
      }
      report({ type: 'seconds', ...pass.seconds });
    } finally {
      pass.dispose();
    }
    return null;
  } finally {
    await files.close();
  }
};
