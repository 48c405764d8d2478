/** @file A seeded importance matrix for a generated model: squared inputs spread over decades, as trained models have them. */
import {
  type GgufTensorInfo,
  type ImportanceEntry,
  type ImportanceMatrix,
  layoutImatrix,
  writeImatrix,
} from '@bitsmith/formats';
import { FileOutput } from './file.js';
import { normalQuantiles, randomWords } from './random.js';

const TOKENS = 4096;

/** Writes an entry for every matrix; squared inputs are lognormal, their logarithm of deviation 1.5. */
export async function generateImportance(
  file: string,
  tensors: readonly Pick<GgufTensorInfo, 'name' | 'shape'>[],
  seed: number,
): Promise<void> {
  const words = randomWords(seed);
  const quantiles = normalQuantiles(1 << 16);
  const entryOf = (columns: number): ImportanceEntry => ({
    columns,
    matrices: 1,
    inSum2: Float32Array.from({ length: columns }, () => TOKENS * Math.exp(1.5 * quantiles[words() >>> 16])),
    counts: Float32Array.of(TOKENS),
  });
  const matrix: ImportanceMatrix = {
    datasets: ['generated'],
    chunkCount: TOKENS / 512,
    chunkSize: 512,
    entries: new Map(
      tensors.filter(({ shape }) => shape.length > 1).map(({ name, shape }) => [name, entryOf(shape[0])]),
    ),
    extra: new Map(),
  };
  const sink = await FileOutput.create(file);
  try {
    await writeImatrix(sink, layoutImatrix(matrix));
  } finally {
    await sink.close();
  }
}
