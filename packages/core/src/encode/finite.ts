/**
 * @file Weights that are not finite are told by name and place before anything runs: one NaN spreads to every activation
 * behind it, and what fails then is not what is broken.
 */
import { ENGINE_RELEASE } from '../engine/release.js';
import type { SourceModel } from '../model/types.js';
import type { RunContext } from '../run/context.js';
import type { TaskIdentity } from '../run/store.js';
import { againAfterCrash } from '../run/work.js';

/** @throws BitsmithError `WEIGHT_NOT_FINITE` naming the tensor and the position */
export async function refuseNonFiniteWeights(run: RunContext, model: SourceModel): Promise<void> {
  const task: TaskIdentity = {
    kind: 'finite-weights',
    version: 1,
    parameters: { engine: ENGINE_RELEASE },
    inputs: { model: model.sha256 },
  };
  if ((await run.store.readJson<true>(task)) === true) return;
  const files = model.files.map((file) => file.path);
  await againAfterCrash(
    () => run.engine.run('finite', { files }, { signal: run.signal }),
    () => undefined,
  );
  await run.store.writeJson(task, true);
}
