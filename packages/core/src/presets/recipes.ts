/** @file llama.cpp's recipes for a model, asked once of the engine and kept: what its presets would store every tensor in. */
import { BitsmithError, type TensorType } from '@bitsmith/formats';
import { ENGINE_RELEASE } from '../engine/release.js';
import type { SourceModel } from '../model/types.js';
import { type PresetName, presetNames, type PresetRecipes } from '../plan/presets/presets.js';
import type { RunContext } from '../run/context.js';
import type { TaskIdentity } from '../run/store.js';
import { againAfterCrash } from '../run/work.js';

/** Types of all tensors in the model's order. */
type Kept = Readonly<Record<string, readonly TensorType[]>>;

/**
 * The type of every tensor of `model` under every preset (a few milliseconds each, and once a model). They are those with an
 * importance matrix, which every plan here has.
 * @throws BitsmithError `RECIPE_FAILED`, `RECIPE_UNREADABLE`
 */
export async function presetRecipes(run: RunContext, model: SourceModel): Promise<PresetRecipes> {
  const task: TaskIdentity = {
    kind: 'preset-recipes',
    version: 1,
    parameters: { presets: presetNames, importance: true, engine: ENGINE_RELEASE },
    inputs: { model: model.sha256 },
  };
  const names = model.tensors.map(({ name }) => name);
  const kept = await run.store.readJson<Kept>(task);
  const recipes = kept ?? (await askEngine(run, model, names));
  if (kept === null) await run.store.writeJson(task, recipes);
  return new Map(
    presetNames.map((preset) => [preset, new Map(names.map((name, i) => [name, recipes[preset][i]]))]),
  );
}

async function askEngine(run: RunContext, model: SourceModel, names: readonly string[]): Promise<Kept> {
  const ask = { ggufPath: model.ggufPath, presets: presetNames, importance: true };
  const answers = await againAfterCrash(
    () => run.engine.run('recipes', ask, { signal: run.signal }),
    () => undefined,
  );
  return Object.fromEntries(
    presetNames.map((preset, index) => [preset, inOrder(preset, new Map(answers[index]), names)]),
  );
}

function inOrder(
  preset: PresetName,
  types: ReadonlyMap<string, TensorType>,
  names: readonly string[],
): TensorType[] {
  return names.map((name) => {
    const type = types.get(name);
    if (type !== undefined) return type;
    throw new BitsmithError(
      'engine',
      'RECIPE_UNREADABLE',
      `expected llama.cpp to say what ${preset} makes of ${name}, found no word of it`,
    );
  });
}
