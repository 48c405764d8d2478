/**
 * @file In the engine: prices of schemes from gradients. Rows are sampled in proportion to what they matter, encoded in
 * each scheme and decoded from the very bytes that it would store; the squared errors, weighed by row and column, are nats.
 */
import { type ImportanceMatrix, readSafetensors } from '@bitsmith/formats';
import { ComputeGraph, decodeRows, type Engine, weightedRowErrors } from '@bitsmith/ggml';
import { columnWeights, vectorOfRow } from '../../calibrate/column-weights.js';
import { isOverflow } from '../../encode/encode-rows.js';
import { prepareSchemes, throughScheme } from '../../encode/through-scheme.js';
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { FileSource } from '../../io/file-source.js';
import { readImportance } from '../../io/read-importance.js';
import { type StoredTensor, WeightFiles } from '../../model/weight-files.js';
import type { StorageType } from '../../plan/schemes.js';
import { inLanes } from '../../run/lanes.js';
import {
  type FisherPrice,
  outputMoments,
  priceOfErrors,
  type RowChanges,
  type TensorFisher,
  tensorFisher,
  type WeighedRow,
} from './fisher.js';
import { sampleRows } from '../errors/sample-rows.js';
import { GradientFiles } from '../transformer/fisher-file.js';
import { alignedFloats } from '../transformer/weights.js';

/** Where a tensor's Gram matrix lies. */
export interface GramPlace {
  readonly path: string;
  readonly name: string;
}

export type PriceTask = TaskType<
  {
    readonly files: readonly string[];
    /** What encoders weigh columns with. */
    readonly importancePath: string;
    /** Squared gradients, a file a sequence. */
    readonly gradientPaths: readonly string[];
    /** Labels of a sequence. */
    readonly labels: number;
    readonly sampleWeights: number;
    /**
     * Gram matrices by tensor: errors are then weighed by them and by the output gradients' second moments. Without, and for tensors
     * that have none, by the squared gradients' rows and columns.
     */
    readonly grams: Readonly<Record<string, GramPlace>> | null;
    readonly tensors: readonly { readonly name: string; readonly schemes: readonly StorageType[] }[];
  },
  {
    readonly tensor: string;
    /** Null where the scheme cannot hold the weights. */
    readonly prices: Readonly<Record<string, FisherPrice | null>>;
  },
  null
>;

/** Fewer rows would leave the price to chance where rows are long. */
const LEAST_ROWS = 32;

interface Rows {
  readonly items: readonly WeighedRow[];
  readonly values: Float32Array;
  readonly importance: Float32Array;
}

export const runPrices: TaskHandler<PriceTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  const gradients = await GradientFiles.open(parameters.gradientPaths);
  try {
    const importance = await readImportance(parameters.importancePath);
    await prepareSchemes(
      engine,
      parameters.tensors.flatMap((tensor) => tensor.schemes),
    );
    await inLanes(settings.threads, parameters.tensors, async ({ name, schemes: wanted }) => {
      const tensor = files.tensor(name);
      const place = parameters.grams?.[name] ?? null;
      const squared = await gradients.read(name);
      const fisher = place === null ? tensorFisher(squared) : outputMoments(squared);
      const gram = place === null ? null : await readGram(place);
      const rows = await readRows(engine, files, tensor, importance, fisher, parameters.sampleWeights);
      const prices: Record<string, FisherPrice | null> = {};
      for (const scheme of wanted) {
        const change = await changeOf(engine, tensor, rows, scheme);
        const changes = change === null ? null : await changesOf(engine, tensor, rows, change, fisher, gram);
        const price = changes === null ? null : priceOfErrors(fisher, rows.items, changes, parameters.labels);
        prices[scheme] = price !== null && Number.isFinite(price.klNats) ? price : null;
      }
      report({ tensor: name, prices });
    });
    return null;
  } finally {
    await gradients.close();
    await files.close();
  }
};

async function readRows(
  engine: Engine,
  files: WeightFiles,
  tensor: StoredTensor,
  importance: ImportanceMatrix,
  fisher: TensorFisher,
  sampleWeights: number,
): Promise<Rows> {
  const { name, type, rowLength, rows, rowBytes } = tensor;
  const count = Math.max(LEAST_ROWS, Math.ceil(sampleWeights / rowLength));
  const all = (): WeighedRow[] => Array.from(fisher.rows, (hits, row) => ({ row, hits }));
  const items = count >= rows ? all() : sampleRows(rows, count, fisher.rows);
  const bytes = new Uint8Array(items.length * rowBytes);
  for (const [index, { row }] of items.entries())
    await files.readRows(name, row, bytes.subarray(index * rowBytes, (index + 1) * rowBytes));
  const values = new Float32Array(items.length * rowLength);
  await decodeRows(engine, { type, bytes, rows: items.length, rowLength }, values);
  return { items, values, importance: vectorOfRow(columnWeights(importance, tensor), tensor, 0) };
}

/** The rows as the scheme would give them back; null where it overflows on these weights. */
async function changeOf(
  engine: Engine,
  { rowLength }: StoredTensor,
  { items, values, importance }: Rows,
  scheme: StorageType,
): Promise<Float32Array | null> {
  const rows = items.length;
  const decoded = new Float32Array(values.length);
  try {
    await throughScheme(engine, { scheme, values, rows, rowLength, importance }, decoded);
  } catch (error) {
    if (isOverflow(error)) return null;
    throw error;
  }
  return decoded;
}

/** What the scheme does to each sampled row, weighed. */
async function changesOf(
  engine: Engine,
  { rowLength }: StoredTensor,
  { items, values }: Rows,
  decoded: Float32Array,
  fisher: TensorFisher,
  gram: Float32Array | null,
): Promise<RowChanges> {
  const rows = items.length;
  if (gram !== null) return { errors: await gramRowErrors(engine, values, decoded, rows, rowLength, gram) };
  const distance = (a: Float32Array, b: Float32Array): Float64Array =>
    weightedRowErrors(a, b, rows, rowLength, fisher.columnShares);
  const nothing = new Float32Array(values.length);
  const [errors, sizes, after] = [
    distance(values, decoded),
    distance(values, nothing),
    distance(decoded, nothing),
  ];
  // |W + dW|^2 = |W|^2 + 2 W dW + |dW|^2
  const products = errors.map((error, row) => (after[row] - sizes[row] - error) / 2);
  return { errors, along: { sizes, products } };
}

/** dW_i H dW_i' of every row i. */
async function gramRowErrors(
  engine: Engine,
  values: Float32Array,
  decoded: Float32Array,
  rows: number,
  rowLength: number,
  gram: Float32Array,
): Promise<Float32Array> {
  const errors = new Float32Array(rows);
  const graph = new ComputeGraph(engine, 32);
  try {
    const change = graph.subtract(graph.leaf(values, rowLength, rows), graph.leaf(decoded, rowLength, rows));
    const product = graph.multiply(graph.leaf(gram, rowLength, rowLength), change);
    graph.store(graph.sumRows(graph.times(product, change)), errors);
    await graph.compute();
  } finally {
    graph.dispose();
  }
  return errors;
}

async function readGram({ path, name }: GramPlace): Promise<Float32Array> {
  const source = await FileSource.open(path);
  try {
    const { tensors } = await readSafetensors(source);
    const place = tensors.find((tensor) => tensor.name === name);
    if (place === undefined) throw new Error(`no Gram matrix of ${name} in ${path}`);
    const gram = alignedFloats(place.byteLength / 4);
    await source.readInto(new Uint8Array(gram.buffer, gram.byteOffset, gram.byteLength), place.offset);
    return gram;
  } finally {
    await source.close();
  }
}
