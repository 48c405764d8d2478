/** @file Levels and codes to begin with: the scheme's own encoder's, or those that are stored already. */
import {
  BitsmithError,
  closeAffine,
  encodeAffine,
  isTensorType,
  tensorByteLength,
  type TensorType,
} from '@bitsmith/formats';
import { encodeRows, type Engine } from '@bitsmith/ggml';
import { inLanes } from '../../run/lanes.js';
import { affineSpec } from '../../plan/affine-schemes.js';
import type { StorageType } from '../../plan/schemes.js';
import { roundRows } from '../feedback/round-rows.js';
import type { TensorStatistics } from '../feedback/rounder.js';
import { cutIntoSlabs } from '../slabs.js';
import { AffineGrid } from './affine-grid.js';
import { BlockGrid, linearFormat } from './block-grid.js';
import type { LevelGrid, StoredParts } from './level-grid.js';
import { affineOf } from './stored-parts.js';

/** A matrix to be encoded. */
export interface MatrixInput {
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  /** One weight per column. */
  readonly importance: Float32Array;
}

/** Codes to begin with, and how near to their cells' middles weights are taken to lie (`learned-matrix.ts`). */
export interface StartingPoint {
  readonly grid: LevelGrid;
  readonly reach: number;
}

const CHOSEN_TOGETHER = 0.4;

/** Weights that are encoded at once. */
const SLAB_WEIGHTS = 1 << 17;

/** True for schemes whose levels are equally spaced: rounding of them can be learned. */
export function isLearnable(scheme: StorageType): boolean {
  return affineSpec(scheme) !== undefined || (isTensorType(scheme) && linearFormat(scheme) !== null);
}

/** What the scheme's own encoder makes. @throws BitsmithError `LEARNED_SCHEME` */
export async function nearestGrid(
  engine: Engine,
  lanes: number,
  scheme: StorageType,
  input: MatrixInput,
): Promise<LevelGrid> {
  const spec = affineSpec(scheme);
  if (spec !== undefined) return new AffineGrid(encodeAffine(input, spec));
  const data = await nearestBlocks(engine, lanes, linearType(scheme), input);
  return gridOf(scheme, { data }, input);
}

/** What the encoder makes that knows the inputs, or, where nothing is known of them, the nearest. @throws BitsmithError `LEARNED_SCHEME` */
export async function startingPoint(
  engine: Engine,
  lanes: number,
  scheme: StorageType,
  input: MatrixInput,
  statistics: TensorStatistics | null,
): Promise<StartingPoint> {
  if (statistics === null) return { grid: await nearestGrid(engine, lanes, scheme, input), reach: 1 };
  const { bytes, affine } = await roundRows(engine, { scheme, ...input }, statistics);
  const spec = affineSpec(scheme);
  if (spec === undefined || affine === null)
    return { grid: gridOf(scheme, { data: bytes as Uint8Array }, input), reach: CHOSEN_TOGETHER };
  const { rows, rowLength } = input;
  return { grid: new AffineGrid(closeAffine(affine, spec, rows, rowLength)), reach: CHOSEN_TOGETHER };
}

/** Encoded bytes, opened. @throws BitsmithError `LEARNED_SCHEME` */
export function gridOf(
  scheme: StorageType,
  parts: StoredParts,
  { rows, rowLength }: Pick<MatrixInput, 'rows' | 'rowLength'>,
): LevelGrid {
  const spec = affineSpec(scheme);
  if (spec !== undefined) return new AffineGrid(affineOf(parts, spec, rows, rowLength));
  const type = linearType(scheme);
  const format = linearFormat(type);
  if (format === null) throw notLinear(scheme);
  return new BlockGrid(type, format, parts.data, rows, rowLength);
}

async function nearestBlocks(
  engine: Engine,
  lanes: number,
  type: TensorType,
  { values, rows, rowLength, importance }: MatrixInput,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(tensorByteLength(type, [rowLength, rows]));
  const rowBytes = bytes.byteLength / rows;
  const slabs = cutIntoSlabs({ rowLength, rows, rowsPerMatrix: rows }, SLAB_WEIGHTS);
  await inLanes(lanes, slabs, async ({ firstRow, rows: count }) => {
    const of = values.subarray(firstRow * rowLength, (firstRow + count) * rowLength);
    const target = bytes.subarray(firstRow * rowBytes, (firstRow + count) * rowBytes);
    await encodeRows(engine, { type, values: of, rows: count, rowLength, importance }, target);
  });
  return bytes;
}

function linearType(scheme: StorageType): TensorType {
  if (isTensorType(scheme) && isLearnable(scheme)) return scheme;
  throw notLinear(scheme);
}

export function notLinear(scheme: string, tensor = 'a matrix'): BitsmithError {
  return new BitsmithError(
    'arguments',
    'LEARNED_SCHEME',
    `expected a scheme of equally spaced levels to learn the rounding of ${tensor}, found ${scheme}`,
    { suggestion: 'Affine schemes, Q4_0 to Q8_0 and Q2_K to Q6_K have such levels.' },
  );
}
