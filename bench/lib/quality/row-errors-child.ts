/** @file A process that runs encoders over rows of a model's tensors and says how far the rows moved, each relative to itself. */
import {
  importanceWeights,
  readAnyImatrix,
  readGguf,
  type GgufTensorInfo,
  type TensorType,
} from '@bitsmith/formats';
import { decodeRows, encodedByteLength, encodeRows, loadEngine, weightedRowErrors } from '@bitsmith/ggml';
import { FileInput } from '../file.js';

export interface RowErrorsRequest {
  readonly ggufPath: string;
  readonly importancePath: string;
  /** Sampled a tensor, evenly spaced. */
  readonly rows: number;
  readonly threads: number;
  readonly tensors: readonly { readonly name: string; readonly schemes: readonly string[] }[];
}

export type RowErrorsReply =
  | {
      readonly kind: 'tensor';
      readonly tensor: string;
      readonly errors: readonly (readonly [scheme: string, error: number])[];
    }
  | { readonly kind: 'end' };

/** Rows of a tensor as floats, with the weight of every column. */
interface Sample {
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  readonly weights: Float32Array;
  /** sum_j w_j x_ij^2 of every row. */
  readonly norms: Float64Array;
}

/** Share of the rows that is left out at both ends, where there are a hundred or more. */
const TRIM = 0.01;
const LEAST_TRIMMED = 100;

async function serve(request: RowErrorsRequest): Promise<void> {
  const engine = loadEngine({ threads: request.threads });
  const [model, matrix] = await Promise.all([request.ggufPath, request.importancePath].map(FileInput.open));
  const { tensors } = await readGguf(model);
  const { entries } = await readAnyImatrix(matrix);
  const infos = new Map(tensors.map((info) => [info.name, info]));

  const sampleOf = async (name: string): Promise<Sample> => {
    const info = infos.get(name);
    const entry = entries.get(name);
    if (info === undefined || entry === undefined)
      throw new Error(`expected ${name} in model and importance matrix`);
    const { bytes, rows, rowLength } = await readRows(model, info, request.rows);
    const values = new Float32Array(rows * rowLength);
    await decodeRows(engine, { type: info.type, bytes, rows, rowLength }, values);
    const weights = importanceWeights(entry);
    const norms = weightedRowErrors(values, new Float32Array(values.length), rows, rowLength, weights);
    return { values, rows, rowLength, weights, norms };
  };
  const errorOf = async (
    { values, rows, rowLength, weights, norms }: Sample,
    scheme: string,
  ): Promise<number> => {
    const type = scheme as TensorType;
    const bytes = new Uint8Array(encodedByteLength(type, rows, rowLength));
    await encodeRows(engine, { type, values, rows, rowLength, importance: weights }, bytes);
    const decoded = new Float32Array(values.length);
    await decodeRows(engine, { type, bytes, rows, rowLength }, decoded);
    const errors = weightedRowErrors(values, decoded, rows, rowLength, weights);
    return trimmedMean(errors.map((error, row) => (norms[row] > 0 ? error / norms[row] : 0)));
  };

  const open = [...request.tensors];
  const lane = async (): Promise<void> => {
    for (let next = open.shift(); next !== undefined; next = open.shift()) {
      const sample = await sampleOf(next.name);
      const errors: [string, number][] = [];
      for (const scheme of next.schemes) errors.push([scheme, await errorOf(sample, scheme)]);
      send({ kind: 'tensor', tensor: next.name, errors });
    }
  };
  await Promise.all(Array.from({ length: request.threads }, lane));
  send({ kind: 'end' });
}

/** At most so many rows, evenly spaced. */
async function readRows(
  file: FileInput,
  { shape, offset, byteLength }: GgufTensorInfo,
  most: number,
): Promise<{ bytes: Uint8Array; rows: number; rowLength: number }> {
  const all = shape.slice(1).reduce((product, length) => product * length, 1);
  const rows = Math.min(all, most);
  const rowBytes = byteLength / all;
  const bytes = new Uint8Array(rows * rowBytes);
  for (let index = 0; index < rows; index++) {
    const row = Math.floor(((index + 0.5) * all) / rows);
    await file.readInto(bytes.subarray(index * rowBytes, (index + 1) * rowBytes), offset + row * rowBytes);
  }
  return { bytes, rows, rowLength: shape[0] };
}

function trimmedMean(values: Float64Array): number {
  const ends = values.length < LEAST_TRIMMED ? 0 : Math.floor(values.length * TRIM);
  const kept = values.toSorted().subarray(ends, values.length - ends);
  return kept.reduce((sum, value) => sum + value, 0) / kept.length;
}

function send(reply: RowErrorsReply): void {
  process.send?.(reply);
}

process.once('message', (request: RowErrorsRequest) => {
  serve(request).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
process.on('disconnect', () => process.exit(0));
