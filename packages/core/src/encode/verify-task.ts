/**
 * @file In the engine: reopens the written file and decodes every group of it beside the source. Nothing may be missing,
 * extra, undecodable or non-finite, and every tensor's error must be one that rounding can explain.
 */
import { BitsmithError } from '@bitsmith/formats';
import { decodeRows, type Engine } from '@bitsmith/ggml';
import type { TaskHandler, TaskType } from '../engine/task-type.js';
import { nativeEngine } from '../engine/session.js';
import { WeightFiles } from '../model/weight-files.js';
import { inLanes } from '../run/lanes.js';
import { cutIntoSlabs, type Slab } from './slabs.js';

export type VerifyTask = TaskType<
  { readonly files: readonly string[]; readonly outputPath: string },
  { readonly tensor: string; readonly elements: number } & WrittenWeights,
  null
>;

/** A tensor of the written file beside the source's. */
export interface WrittenWeights {
  /** Root of sum (w - w')^2 / sum w^2. */
  readonly relativeError: number;
  /** sum w w' / root of (sum w^2 sum w'^2); 1 for a tensor that is kept. */
  readonly cosine: number;
}

const SLAB_WEIGHTS = 1 << 18;
const NEGLIGIBLE_WEIGHT = 1e-7;

export const runVerify: TaskHandler<VerifyTask> = async ({ files, outputPath }, report, settings) => {
  const engine = nativeEngine(settings);
  const source = await WeightFiles.open(files);
  const output = await WeightFiles.open([outputPath]);
  try {
    refuseOtherTensors(source, output, outputPath);
    await inLanes(settings.threads, source.names, async (name) => {
      const written = await compare(engine, source, output, name);
      report({
        tensor: name,
        elements: source.tensor(name).rows * source.tensor(name).rowLength,
        ...written,
      });
    });
    return null;
  } finally {
    await source.close();
    await output.close();
  }
};

function refuseOtherTensors(source: WeightFiles, output: WeightFiles, path: string): void {
  const missing = source.names.filter((name) => !output.has(name));
  const extra = output.names.filter((name) => !source.has(name));
  if (missing.length + extra.length > 0) {
    throw broken(
      `expected the tensors of the source in ${path}; missing: ${missing.join(', ') || 'none'}, extra: ${extra.join(', ') || 'none'}`,
    );
  }
}

/** Over the whole tensor. */
async function compare(
  engine: Engine,
  source: WeightFiles,
  output: WeightFiles,
  name: string,
): Promise<WrittenWeights> {
  const tensor = source.tensor(name);
  const written = output.tensor(name);
  if (tensor.rows !== written.rows || tensor.rowLength !== written.rowLength) {
    throw broken(
      `expected the shape ${tensor.shape.join(' x ')} for ${name} in the written file, found ${written.shape.join(' x ')}`,
    );
  }
  let squaredError = 0;
  let squares = 0;
  let squaresAfter = 0;
  let product = 0;
  for (const slab of cutIntoSlabs({ ...tensor, rowsPerMatrix: tensor.rows }, SLAB_WEIGHTS)) {
    if (tensor.type === written.type) {
      await refuseOtherBytes(source, output, name, slab);
      continue;
    }
    const before = await decoded(engine, source, name, slab);
    const after = await decoded(engine, output, name, slab);
    for (let i = 0; i < before.length; i++) {
      const difference = before[i] - after[i];
      squaredError += difference * difference;
      squares += before[i] * before[i];
      squaresAfter += after[i] * after[i];
      product += before[i] * after[i];
    }
  }
  // Weights below this are zero to the half-precision scales of most schemes, and to the model.
  if (squaredError === squares && squares > tensor.rows * tensor.rowLength * NEGLIGIBLE_WEIGHT ** 2) {
    throw broken(`expected the weights of ${name} in the written file, found nothing but zeros`);
  }
  const relative = squares === 0 ? Math.sqrt(squaredError) : Math.sqrt(squaredError / squares);
  if (!Number.isFinite(relative))
    throw broken(`expected finite weights in ${name} of the written file, found NaN or infinity`);
  return { relativeError: relative, cosine: cosineOf(squaredError, squares, squaresAfter, product) };
}

/** Exactly 1 where nothing changed: roots of the same sums are rounded. */
function cosineOf(squaredError: number, squares: number, squaresAfter: number, product: number): number {
  if (squaredError === 0) return 1;
  const length = Math.sqrt(squares) * Math.sqrt(squaresAfter);
  return length === 0 ? 0 : Math.min(1, product / length);
}

/** A tensor that is kept must be kept exactly. */
async function refuseOtherBytes(
  source: WeightFiles,
  output: WeightFiles,
  name: string,
  { firstRow, rows }: Slab,
): Promise<void> {
  const { rowBytes } = source.tensor(name);
  const before = new Uint8Array(rows * rowBytes);
  const after = new Uint8Array(rows * rowBytes);
  await source.readRows(name, firstRow, before);
  await output.readRows(name, firstRow, after);
  if (Buffer.compare(before, after) !== 0)
    throw broken(`expected ${name} to be kept as it is, found other bytes in the written file`);
}

async function decoded(
  engine: Engine,
  files: WeightFiles,
  name: string,
  { firstRow, rows }: Slab,
): Promise<Float32Array> {
  const tensor = files.tensor(name);
  const bytes = new Uint8Array(rows * tensor.rowBytes);
  await files.readRows(name, firstRow, bytes);
  const values = new Float32Array(rows * tensor.rowLength);
  await decodeRows(engine, { type: tensor.type, bytes, rows, rowLength: tensor.rowLength }, values);
  return values;
}

function broken(message: string): BitsmithError {
  return new BitsmithError('validation', 'OUTPUT_BROKEN', message, {
    suggestion:
      'The written file was not published. Run the same command again; if it happens again, check the disk.',
  });
}
