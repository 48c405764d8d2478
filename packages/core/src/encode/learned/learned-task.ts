/** @file In the engine: learned rounding, a file of encoded tensors a block. */
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { readImportance } from '../../io/read-importance.js';
import { shapeOf } from '../../transformer/shape-of.js';
import { WeightFiles } from '../../model/weight-files.js';
import type { StorageType } from '../../plan/schemes.js';
import { Rounder } from '../feedback/rounder.js';
import { channelWeights } from './channel-weights.js';
import type { BlockLearned } from './learn-block.js';
import { blockOf, LearnedPass } from './learned-pass.js';
import type { StoredParts } from './level-grid.js';
import type { LearnedSettings } from './options.js';
import { readParts, writeParts } from './stored-parts.js';
import type { RoundingParameters } from '../../gram/rounding.js';

/** Where an encoded tensor lies. */
export interface EncodedTensorPlace {
  readonly path: string;
  readonly name: string;
}

export type LearnedTask = TaskType<
  {
    readonly files: readonly string[];
    readonly importancePath: string;
    readonly positions: number;
    readonly sequences: readonly Int32Array[];
    readonly settings: LearnedSettings;
    readonly schemes: Readonly<Record<string, StorageType>>;
    /** What codes begin with; null: the nearest. */
    readonly rounding: RoundingParameters | null;
    /** Squared gradients of sequences, which weigh the channels of what comes out of a block; null: all alike. */
    readonly gradientPaths: readonly string[] | null;
    /** Blocks that are learned: done, or the file to make. */
    readonly blocks: Readonly<Record<number, { readonly path: string; readonly done: boolean }>>;
  },
  { readonly block: number; readonly learned: BlockLearned },
  null
>;

export const runLearned: TaskHandler<LearnedTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const model = await shapeOf(parameters.files[0], files);
    const { positions, sequences, rounding, blocks, gradientPaths } = parameters;
    const schemes = new Map(Object.entries(parameters.schemes));
    const pass = await LearnedPass.open({
      engine,
      files,
      model,
      positions,
      lanes: settings.threads,
      seed: 0,
      firstScored: 0,
      scratchPath: null,
      importance: await readImportance(parameters.importancePath),
      schemes,
      learned: parameters.settings,
      rounder: new Rounder(engine, rounding),
      channelWeightsOf: gradientPaths === null ? undefined : (block) => channelWeights(gradientPaths, block),
    });
    try {
      await pass.run(sequences, {
        known: async (block) =>
          blocks[block].done ? readBlock(blocks[block].path, block, schemes.keys()) : null,
        take: async (block, tensors, learned) => {
          await writeParts(blocks[block].path, tensors);
          report({ block, learned });
        },
      });
    } finally {
      pass.dispose();
    }
    return null;
  } finally {
    await files.close();
  }
};

async function readBlock(
  path: string,
  block: number,
  names: Iterable<string>,
): Promise<ReadonlyMap<string, StoredParts>> {
  const found = new Map<string, StoredParts>();
  for (const name of names) if (blockOf(name) === block) found.set(name, await readParts(path, name));
  return found;
}
