/**
 * @file In the engine: how much a tensor's weights in a scheme point where they did: the cosine of the angle between w and w', over
 * evenly spaced rows, w' decoded from the very codes that the scheme would store.
 */
import type { Engine } from '@bitsmith/ggml';
import { KEPT_FACTORS_BYTES, Rounder, type TensorStatistics } from '../../encode/feedback/rounder.js';
import type { RoundingParameters } from '../../gram/rounding.js';
import { prepareSchemes } from '../../encode/through-scheme.js';
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { readImportance } from '../../io/read-importance.js';
import { WeightFiles } from '../../model/weight-files.js';
import type { StorageType } from '../../plan/schemes.js';
import { inLanes } from '../../run/lanes.js';
import { decodedSample } from './decoded-sample.js';
import { readSamples, type RowSample } from './row-samples.js';

export type CosinesTask = TaskType<
  {
    readonly files: readonly string[];
    readonly importancePath: string;
    readonly rounding: RoundingParameters | null;
    readonly sampleWeights: number;
    readonly tensors: readonly { readonly name: string; readonly schemes: readonly StorageType[] }[];
  },
  {
    readonly tensor: string;
    /** Null where the scheme cannot hold the weights. */
    readonly cosines: Readonly<Record<string, number | null>>;
  },
  null
>;

export const runCosines: TaskHandler<CosinesTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const importance = await readImportance(parameters.importancePath);
    const rounder = new Rounder(engine, parameters.rounding, KEPT_FACTORS_BYTES);
    await prepareSchemes(
      engine,
      parameters.tensors.flatMap((tensor) => tensor.schemes),
    );
    await inLanes(settings.threads, parameters.tensors, async ({ name, schemes }) => {
      const tensor = files.tensor(name);
      const samples = await readSamples(engine, files, tensor, importance, parameters.sampleWeights, true);
      const statistics = await rounder.statisticsOf(name);
      const cosines: Record<string, number | null> = {};
      for (const scheme of schemes) cosines[scheme] = await cosineIn(engine, samples, scheme, statistics);
      report({ tensor: name, cosines });
    });
    return null;
  } finally {
    await files.close();
  }
};

async function cosineIn(
  engine: Engine,
  samples: readonly RowSample[],
  scheme: StorageType,
  statistics: TensorStatistics | null,
): Promise<number | null> {
  let before = 0;
  let after = 0;
  let product = 0;
  for (const sample of samples) {
    const decoded = await decodedSample(engine, sample, scheme, statistics);
    if (decoded === null) return null;
    const { values } = sample;
    for (let i = 0; i < values.length; i++) {
      before += values[i] * values[i];
      after += decoded[i] * decoded[i];
      product += values[i] * decoded[i];
    }
  }
  // Nothing to turn: zeros stay zeros in every scheme.
  if (before === 0) return after === 0 ? 1 : 0;
  return after === 0 ? 0 : Math.min(1, product / (Math.sqrt(before) * Math.sqrt(after)));
}
