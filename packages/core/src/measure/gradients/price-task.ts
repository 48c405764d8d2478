/**
 * @file In the engine: prices of schemes from gradients. Rows are sampled in proportion to what they matter, encoded in
 * each scheme and decoded from the very bytes that it would store; the squared errors, weighed by row and column, are nats. Errors
 * that are correlated on purpose are not told by their squares: those of the nearest codes are priced, and multiplied by what
 * codes with feedback leave of them under a Gram matrix of other text.
 */
import type { ImportanceMatrix } from '@bitsmith/formats';
import { decodeRows, type Engine, weightedRowErrors } from '@bitsmith/ggml';
import { columnWeights, vectorOfRow } from '../../calibrate/column-weights.js';
import { isOverflow } from '../../encode/encode-rows.js';
import { type GramPlace, readGram } from '../../gram/gram-files.js';
import { canBeRounded, type RowLosses, roundRows } from '../../encode/feedback/round-rows.js';
import { KEPT_FACTORS_BYTES, Rounder, type TensorStatistics } from '../../encode/feedback/rounder.js';
import type { RoundingParameters } from '../../gram/rounding.js';
import type { SpanTriangle } from '../../gram/span-triangle.js';
import { gramRowErrors } from '../../encode/gram-errors.js';
import { prepareSchemes, throughScheme } from '../../encode/through-scheme.js';
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
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
import { GradientFiles } from '../../transformer/fisher-file.js';

export type PriceTask = TaskType<
  {
    readonly files: readonly string[];
    /** What encoders weigh columns with. */
    readonly importancePath: string;
    /** What they choose codes by beyond it. */
    readonly rounding: RoundingParameters | null;
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
    const rounder = new Rounder(engine, parameters.rounding, KEPT_FACTORS_BYTES);
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
      const statistics = await rounder.statisticsOf(name);
      const prices: Record<string, FisherPrice | null> = {};
      for (const scheme of wanted) {
        // Under a Gram matrix errors may be correlated; without, those of the nearest codes are priced.
        const coded = await codedRows(engine, tensor, rows, scheme, gram === null ? null : statistics);
        prices[scheme] = null;
        if (coded === null) continue;
        const errors =
          gram === null
            ? changesOf(tensor, rows, coded, fisher)
            : await gramErrors(engine, tensor, rows, coded, gram);
        const share = gram === null ? await shareLeft(engine, tensor, rows, scheme, statistics) : 1;
        const price = priceOfErrors(fisher, rows.items, errors, parameters.labels);
        if (Number.isFinite(price.klNats)) prices[scheme] = scaled(price, share);
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

/** Sampled rows as a scheme would give them back; null where it overflows on these weights. */
async function codedRows(
  engine: Engine,
  { rowLength }: StoredTensor,
  { items, values, importance }: Rows,
  scheme: StorageType,
  statistics: TensorStatistics | null,
): Promise<Float32Array | null> {
  const decoded = new Float32Array(values.length);
  try {
    const request = { scheme, values, rows: items.length, rowLength, importance, statistics };
    await throughScheme(engine, request, decoded);
  } catch (error) {
    if (isOverflow(error)) return null;
    throw error;
  }
  return decoded;
}

/** Rows that tell what feedback leaves, at the most: a ratio on the same rows is known to some percent from these. */
const SHARE_ROWS = 20;

/** What the codes lose of what the nearest lose, on text that neither was chosen by: of some of the rows, evenly spaced. */
async function shareLeft(
  engine: Engine,
  { rowLength }: StoredTensor,
  { items, values, importance }: Rows,
  scheme: StorageType,
  statistics: TensorStatistics | null,
): Promise<number> {
  if (statistics === null || !canBeRounded(scheme, statistics)) return 1;
  const rows = Math.min(SHARE_ROWS, items.length);
  const places = Array.from({ length: rows }, (_, k) => Math.floor(((k + 0.5) * items.length) / rows));
  const some = new Float32Array(rows * rowLength);
  for (const [k, place] of places.entries())
    some.set(values.subarray(place * rowLength, (place + 1) * rowLength), k * rowLength);
  const request = { scheme, values: some, rows, rowLength, importance };
  const { losses } = await roundRows(engine, request, statistics);
  return shareOf(
    places.map((place) => items[place]),
    losses,
  );
}

/** True losses of single tensors over what is left of them by the Gram matrix: the mean of five schemes (docs/benchmarks.md, Encoders). */
const OPTIMISM = 1.13;

function shareOf(items: readonly WeighedRow[], { kept, nearest }: RowLosses): number {
  const total = (losses: Float32Array): number =>
    items.reduce((sum, { hits }, index) => sum + hits * losses[index], 0);
  const whole = total(nearest);
  return whole > 0 ? Math.min(1, (OPTIMISM * total(kept)) / whole) : 1;
}

function scaled({ klNats, standardError }: FisherPrice, share: number): FisherPrice {
  return { klNats: share * klNats, standardError: share * standardError };
}

async function gramErrors(
  engine: Engine,
  { rowLength }: StoredTensor,
  { items, values }: Rows,
  decoded: Float32Array,
  gram: SpanTriangle,
): Promise<RowChanges> {
  return { errors: await gramRowErrors(engine, values, decoded, items.length, rowLength, gram) };
}

/** What codes do to each sampled row, weighed. */
function changesOf(
  { rowLength }: StoredTensor,
  { items, values }: Rows,
  decoded: Float32Array,
  fisher: TensorFisher,
): RowChanges {
  const rows = items.length;
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
