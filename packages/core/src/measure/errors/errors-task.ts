/**
 * @file In the engine: what each scheme does to a tensor's weights, over a systematic sample of rows, scaled to the whole
 * tensor, w' decoded from the very bytes that the scheme would store: the weighted square sum_ij r_i c_j (w_ij - w'_ij)^2, with
 * c_j the mean square of input channel j, and the plain square sum_ij r_i (w_ij - w'_ij)^2. r_i is what row i stands for: of an
 * embedding that is only looked up, how often its token occurs.
 */
import { type Engine, weightedError } from '@bitsmith/ggml';
import { prepareSchemes } from '../../encode/through-scheme.js';
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { readImportance } from '../../io/read-importance.js';
import { WeightFiles } from '../../model/weight-files.js';
import type { StorageType } from '../../plan/schemes.js';
import { inLanes } from '../../run/lanes.js';
import { decodedSample } from './decoded-sample.js';
import { readSamples, type RowSample } from './row-samples.js';

export type ErrorsTask = TaskType<
  {
    readonly files: readonly string[];
    /** Null: encoders work without column weights, but for those that refuse to. */
    readonly importancePath: string | null;
    readonly sampleWeights: number;
    readonly tensors: readonly { readonly name: string; readonly schemes: readonly StorageType[] }[];
  },
  {
    readonly tensor: string;
    /** Null where the scheme cannot hold the weights. */
    readonly errors: Readonly<Record<string, SchemeError | null>>;
    /** Plain sum of the squared weights, from rows spaced evenly. */
    readonly squares: number;
  },
  null
>;

/** Squared errors of one scheme, summed over the tensor. */
export interface SchemeError {
  readonly weighted: number;
  readonly plain: number;
}

export const runErrors: TaskHandler<ErrorsTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const { importancePath } = parameters;
    const importance = importancePath === null ? null : await readImportance(importancePath);
    await prepareSchemes(
      engine,
      parameters.tensors.flatMap((tensor) => tensor.schemes),
    );
    await inLanes(settings.threads, parameters.tensors, async ({ name, schemes }) => {
      const tensor = files.tensor(name);
      const samples = await readSamples(engine, files, tensor, importance, parameters.sampleWeights);
      const errors: Record<string, SchemeError | null> = {};
      for (const scheme of schemes) errors[scheme] = await errorOf(engine, samples, scheme);
      const even = await readSamples(engine, files, tensor, null, parameters.sampleWeights);
      report({ tensor: name, errors, squares: squaresOf(even) });
    });
    return null;
  } finally {
    await files.close();
  }
};

/** Null where the scheme overflows on these weights. */
async function errorOf(
  engine: Engine,
  samples: readonly RowSample[],
  scheme: StorageType,
): Promise<SchemeError | null> {
  let weighted = 0;
  let plain = 0;
  for (const sample of samples) {
    const { values, rows, rowLength, rowWeights, importance } = sample;
    const decoded = await decodedSample(engine, sample, scheme);
    if (decoded === null) return null;
    const unweighted = weightedError(values, decoded, rows, rowLength, undefined, rowWeights);
    plain += unweighted;
    weighted +=
      importance === undefined
        ? unweighted
        : weightedError(values, decoded, rows, rowLength, importance, rowWeights);
  }
  return Number.isFinite(weighted) && Number.isFinite(plain) ? { weighted, plain } : null;
}

function squaresOf(samples: readonly RowSample[]): number {
  return samples.reduce((sum, { values, rows, rowLength, rowWeights }) => {
    const nothing = new Float32Array(values.length);
    return sum + weightedError(values, nothing, rows, rowLength, undefined, rowWeights);
  }, 0);
}
