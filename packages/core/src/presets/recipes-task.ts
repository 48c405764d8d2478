/** @file In the engine: which type each tensor of a model gets under llama.cpp's presets, by dry runs of its quantizer. */
import type { TensorType } from '@bitsmith/formats';
import { fileRecipe } from '@bitsmith/ggml';
import { nativeEngine } from '../engine/session.js';
import type { TaskHandler, TaskType } from '../engine/task-type.js';
import type { PresetName } from '../plan/presets/presets.js';

export type RecipesTask = TaskType<
  { readonly ggufPath: string; readonly presets: readonly PresetName[]; readonly importance: boolean },
  never,
  /** Tensor and type, for each preset in the order asked for. */
  readonly (readonly (readonly [tensor: string, type: TensorType])[])[]
>;

export const runRecipes: TaskHandler<RecipesTask> = async (parameters, _report, settings) => {
  const { ggufPath: source, presets, importance } = parameters;
  const engine = nativeEngine(settings);
  return presets.map((fileType) => [...fileRecipe(engine, { source, fileType, importance })]);
};
