/** @file In the engine: a model in 8 bits, activations included, beside itself in float32, on the same tokens. */
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { readImportance } from '../../io/read-importance.js';
import { shapeOf } from '../../transformer/shape-of.js';
import { WeightFiles } from '../../model/weight-files.js';
import { Scorer } from '../scorer.js';
import type { PositionScores } from '../summary.js';
import type { ActivationScales } from './activation-codes.js';
import { ActivationRounder } from './activation-rounder.js';
import { Int8Pass } from './int8-pass.js';

export type Int8Task = TaskType<
  {
    /** The model as it was. */
    readonly sourceFiles: readonly string[];
    /** What is rounded: the same, or a model that computes the same. */
    readonly files: readonly string[];
    /** An importance matrix of what is rounded; null for none. */
    readonly importancePath: string | null;
    readonly positions: number;
    readonly sequences: readonly Int32Array[];
    readonly activationScales: ActivationScales;
    /** Static scales by the first matrix that reads an input. */
    readonly fixedScales: Readonly<Record<string, number>>;
  },
  { readonly done: number; readonly total: number },
  { readonly scores: PositionScores }
>;

export const runInt8: TaskHandler<Int8Task> = async (parameters, report, settings) => {
  const { positions, sequences } = parameters;
  const engine = nativeEngine(settings);
  const sourceFiles = await WeightFiles.open(parameters.sourceFiles);
  const files = await WeightFiles.open(parameters.files);
  try {
    const model = await shapeOf(parameters.files[0], files);
    const { importancePath } = parameters;
    const importance = importancePath === null ? null : await readImportance(importancePath);
    const shared = { engine, model, positions, lanes: settings.threads, seed: 0, firstScored: 0 };
    const exact = { ...shared, files: sourceFiles, scratchPath: null };
    const rounder = new ActivationRounder(parameters.activationScales, parameters.fixedScales);
    const pass = await Int8Pass.open(exact, { ...exact, files, rounder, importance });
    const scorer = new Scorer(positions, sequences.length, files.tensor('token_embd.weight').rows);
    try {
      await pass.run(
        sequences.map((tokens, index) => ({ index, tokens })),
        (at, p, q) => scorer.score([sequences[at]], p, q),
        (block) => report({ done: block + 1, total: model.blocks.length }),
      );
    } finally {
      pass.dispose();
    }
    return { scores: scorer.scores };
  } finally {
    await Promise.all([sourceFiles.close(), files.close()]);
  }
};
