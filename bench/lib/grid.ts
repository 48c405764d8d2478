/** @file Whether a quantizer's grid is still in the weights: how many values a group has, and what the grid costs once more. */
import { readGguf, type TensorType } from '@bitsmith/formats';
import { decodeRows, encodedByteLength, encodeRows, type Engine } from '@bitsmith/ggml';
import { FileInput } from './file.js';
import { median } from './statistics.js';

/** The grid that is looked for has one scale for so many weights. */
const GROUP = 32;
/** Rows looked at of every tensor. */
const ROWS = 64;

export interface GridEvidence {
  readonly groups: number;
  /** Median and smallest mean over the tensors of the distinct values among 32 neighbours. */
  readonly distinctValues: { readonly median: number; readonly least: number };
  /** Relative root mean square error of storing the weights in the grid's scheme (again): median and least over tensors. */
  readonly relativeError: { readonly median: number; readonly least: number };
}

/** Looks at the matrices of a file, or at some of them by name. */
export async function gridEvidence(
  engine: Engine,
  file: string,
  scheme: TensorType,
  pattern: RegExp,
): Promise<GridEvidence> {
  const input = await FileInput.open(file);
  try {
    const { tensors } = await readGguf(input);
    const matrices = tensors.filter(({ name, shape }) => shape.length === 2 && pattern.test(name));
    const distinct: number[] = [];
    const errors: number[] = [];
    let groups = 0;
    for (const { type, shape, offset } of matrices) {
      const [rowLength, rows] = [shape[0], Math.min(ROWS, shape[1])];
      const bytes = new Uint8Array(encodedByteLength(type, rows, rowLength));
      await input.readInto(bytes, offset);
      const values = new Float32Array(rows * rowLength);
      await decodeRows(engine, { type, bytes, rows, rowLength }, values);
      distinct.push(meanDistinct(values));
      errors.push(await relativeError(engine, values, rows, rowLength, scheme));
      groups += values.length / GROUP;
    }
    return { groups, distinctValues: middleAndLeast(distinct), relativeError: middleAndLeast(errors) };
  } finally {
    await input.close();
  }
}

function middleAndLeast(values: readonly number[]): { median: number; least: number } {
  return { median: median(values), least: Math.min(...values) };
}

function meanDistinct(values: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < values.length; at += GROUP) sum += new Set(values.subarray(at, at + GROUP)).size;
  return (sum * GROUP) / values.length;
}

async function relativeError(
  engine: Engine,
  values: Float32Array,
  rows: number,
  rowLength: number,
  scheme: TensorType,
): Promise<number> {
  const bytes = new Uint8Array(encodedByteLength(scheme, rows, rowLength));
  await encodeRows(engine, { type: scheme, values, rows, rowLength }, bytes);
  const decoded = new Float32Array(values.length);
  await decodeRows(engine, { type: scheme, bytes, rows, rowLength }, decoded);
  let error = 0;
  let square = 0;
  values.forEach((value, index) => {
    error += (decoded[index] - value) ** 2;
    square += value * value;
  });
  return Math.sqrt(error / square);
}
