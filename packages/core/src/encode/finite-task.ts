/** @file In the engine: every weight of a source looked at once, before anything is built on it. */
import type { TaskHandler, TaskType } from '../engine/task-type.js';
import { nativeEngine } from '../engine/session.js';
import { WeightFiles } from '../model/weight-files.js';
import { inLanes } from '../run/lanes.js';
import { EncoderLane } from './encode-rows.js';
import { cutIntoSlabs } from './slabs.js';

export type FiniteTask = TaskType<{ readonly files: readonly string[] }, never, null>;

const SLAB_WEIGHTS = 1 << 19;

export const runFinite: TaskHandler<FiniteTask> = async (parameters, _report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const freeLanes = Array.from({ length: settings.threads }, () => new EncoderLane(engine, files));
    await inLanes(settings.threads, files.names, async (name) => {
      const lane = freeLanes.pop() as EncoderLane;
      const tensor = files.tensor(name);
      // Keeping rows as they are reads and checks them.
      for (const slab of cutIntoSlabs({ ...tensor, rowsPerMatrix: tensor.rows }, SLAB_WEIGHTS)) {
        await lane.encode(tensor, slab, tensor.type, null);
      }
      freeLanes.push(lane);
    });
    return null;
  } finally {
    await files.close();
  }
};
