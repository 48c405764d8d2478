/**
 * @file In the engine: which tensors ternary codes hold exactly. Each is encoded and decoded again beside what is stored; the first rows
 * settle it for all that are not ternary, so that only those that are get read to their end.
 */
import { decodeRows, encodedByteLength, type Engine } from '@bitsmith/ggml';
import { cutIntoSlabs, type Slab } from '../../encode/slabs.js';
import { isOverflow } from '../../encode/encode-rows.js';
import { encodeTernary, type TernaryScheme, ternarySchemes } from '../../encode/ternary.js';
import { nativeEngine } from '../../engine/session.js';
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { type StoredTensor, WeightFiles } from '../../model/weight-files.js';
import { inLanes } from '../../run/lanes.js';

export type TernaryTask = TaskType<
  { readonly files: readonly string[]; readonly tensors: readonly string[] },
  never,
  /** Those of the tensors that are ternary. */
  readonly string[]
>;

const SLAB_WEIGHTS = 1 << 16;

export const runTernary: TaskHandler<TernaryTask> = async ({ files: paths, tensors }, _report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(paths);
  try {
    const exact = new Set<string>();
    await inLanes(settings.threads, tensors, async (name) => {
      if (await isExact(engine, files, files.tensor(name))) exact.add(name);
    });
    return tensors.filter((name) => exact.has(name));
  } finally {
    await files.close();
  }
};

async function isExact(engine: Engine, files: WeightFiles, tensor: StoredTensor): Promise<boolean> {
  for (const slab of cutIntoSlabs({ ...tensor, rowsPerMatrix: tensor.rows }, SLAB_WEIGHTS)) {
    const values = await readSlab(engine, files, tensor, slab);
    for (const scheme of ternarySchemes) {
      if (!(await comesBack(engine, values, tensor.rowLength, scheme))) return false;
    }
  }
  return true;
}

async function readSlab(
  engine: Engine,
  files: WeightFiles,
  { name, type, rowBytes, rowLength }: StoredTensor,
  { firstRow, rows }: Slab,
): Promise<Float32Array> {
  const bytes = new Uint8Array(rows * rowBytes);
  await files.readRows(name, firstRow, bytes);
  const values = new Float32Array(rows * rowLength);
  await decodeRows(engine, { type, bytes, rows, rowLength }, values);
  return values;
}

async function comesBack(
  engine: Engine,
  values: Float32Array,
  rowLength: number,
  scheme: TernaryScheme,
): Promise<boolean> {
  const rows = values.length / rowLength;
  const bytes = new Uint8Array(encodedByteLength(scheme, rows, rowLength));
  try {
    encodeTernary({ values, rowLength }, scheme, bytes);
  } catch (error) {
    if (isOverflow(error)) return false;
    throw error;
  }
  const decoded = new Float32Array(values.length);
  await decodeRows(engine, { type: scheme, bytes, rows, rowLength }, decoded);
  return values.every((value, index) => value === decoded[index]);
}
