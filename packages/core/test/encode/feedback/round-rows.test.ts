import {
  blockFormat,
  closeAffine,
  decodeAffine,
  gridFormat,
  tensorByteLength,
  type TensorType,
} from '@bitsmith/formats';
import { decodeRows, encodeRows } from '@bitsmith/ggml';
import { beforeAll, describe, expect, test } from 'vitest';
import { BlockCells } from '../../../src/encode/feedback/block-cells.js';
import { Codebook } from '../../../src/encode/feedback/codebook.js';
import { CodebookCells } from '../../../src/encode/feedback/codebook-cells.js';
import { CodebookSolver } from '../../../src/encode/feedback/codebook-solver.js';
import { eightsMetric } from '../../../src/encode/feedback/eights-metric.js';
import { factorGram } from '../../../src/encode/feedback/gram-factor.js';
import { gridPoints } from '../../../src/encode/feedback/grid-points.js';
import { type RoundRequest, roundRows } from '../../../src/encode/feedback/round-rows.js';
import type { TensorStatistics } from '../../../src/encode/feedback/rounder.js';
import { SpanMemory } from '../../../src/encode/feedback/span-memory.js';
import { diagonalOf } from '../../../src/encode/feedback/span-metric.js';
import { solveSpans } from '../../../src/encode/feedback/span-worker.js';
import { gramRowErrors } from '../../../src/encode/gram-errors.js';
import { nativeEngine } from '../../../src/engine/session.js';
import { affineSpec } from '../../../src/plan/affine-schemes.js';
import type { StorageType } from '../../../src/plan/schemes.js';
import { mulberry32 } from '../../../src/run/mulberry32.js';
import { triangleOf } from '../../support/triangle.js';

const WIDTH = 512;
const ROWS = 12;
const BOTH = { feedback: true, refit: true };
const linear: readonly TensorType[] = [
  'Q4_0',
  'Q4_1',
  'Q5_0',
  'Q5_1',
  'Q8_0',
  'IQ4_NL',
  'Q2_K',
  'Q3_K',
  'Q4_K',
  'Q5_K',
  'Q6_K',
  'IQ4_XS',
  'TQ2_0',
];

const grids: readonly TensorType[] = ['IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ3_XXS', 'IQ3_S'];

let engine: ReturnType<typeof nativeEngine>;
let values: Float32Array;
/** Of inputs whose channels move together, from two texts. */
let fit: Float32Array;
let statistics: TensorStatistics;
let importance: Float32Array;

beforeAll(async () => {
  engine = nativeEngine({ threads: 2, verbose: false });
  const next = normal(7);
  values = Float32Array.from({ length: ROWS * WIDTH }, () => next() * 0.05);
  const mix = Float64Array.from({ length: WIDTH * 24 }, () => next());
  fit = gramOf(normal(1), mix);
  const check = gramOf(normal(2), mix);
  statistics = {
    factor: await factorGram(engine, triangleOf(fit), 'test'),
    check: triangleOf(check),
    rounding: BOTH,
  };
  importance = diagonal(fit);
});

function normal(seed: number): () => number {
  const uniform = mulberry32(seed);
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Mean of x x' over 2,048 inputs that are mostly mixtures of the same 24 directions. */
function gramOf(next: () => number, mix: Float64Array): Float32Array {
  const gram = new Float64Array(WIDTH * WIDTH);
  const x = new Float64Array(WIDTH);
  const inputs = 1024;
  for (let n = 0; n < inputs; n++) {
    x.forEach((_, i) => (x[i] = 0.5 * next()));
    for (let k = 0; k < 24; k++) {
      const factor = 0.4 * next();
      for (let i = 0; i < WIDTH; i++) x[i] += factor * mix[k * WIDTH + i];
    }
    for (let i = 0; i < WIDTH; i++) for (let j = 0; j < WIDTH; j++) gram[i * WIDTH + j] += x[i] * x[j];
  }
  return Float32Array.from(gram, (sum) => sum / inputs);
}

function diagonal(gram: Float32Array): Float32Array {
  return Float32Array.from({ length: WIDTH }, (_, i) => gram[i * WIDTH + i]);
}

/** Rounded rows, and what they decode to. */
async function rounded(request: RoundRequest, by = statistics) {
  const decoded = new Float32Array(request.values.length);
  return { ...(await roundRows(engine, request, by, decoded)), values: decoded };
}

/** The largest difference. */
function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);
}

const sum = (losses: Float32Array): number => losses.reduce((total, loss) => total + loss, 0);

describe('blocks opened', () => {
  test.each(linear)(
    '%s: what is opened is what the engine decodes, and closes to the same bytes',
    async (type) => {
      const bytes = new Uint8Array(tensorByteLength(type, [WIDTH, ROWS]));
      await encodeRows(engine, { type, values, rows: ROWS, rowLength: WIDTH, importance }, bytes);
      const decoded = new Float32Array(values.length);
      await decodeRows(engine, { type, bytes, rows: ROWS, rowLength: WIDTH }, decoded);
      const cells = new BlockCells(blockFormat(type)!, WIDTH);
      const again = new Uint8Array(bytes.length);
      const rowBytes = bytes.length / ROWS;
      for (let row = 0; row < ROWS; row++) {
        cells.open(bytes, row * rowBytes);
        const opened = Float32Array.from(cells.codes, (code, j) => {
          const group = Math.floor(j / cells.groupSize);
          return cells.levels[code] * cells.scale[group] + cells.offset[group];
        });
        expect(distance(opened, decoded.subarray(row * WIDTH, (row + 1) * WIDTH))).toBeLessThan(1e-6);
        cells.close(again, row * rowBytes);
      }
      expect(again).toEqual(bytes);
    },
  );

  test.each(grids)(
    '%s: opens to what the engine decodes, bit for bit, and closes to the same bytes',
    async (type) => {
      const bytes = new Uint8Array(tensorByteLength(type, [WIDTH, ROWS]));
      await encodeRows(engine, { type, values, rows: ROWS, rowLength: WIDTH, importance }, bytes);
      const decoded = new Float32Array(values.length);
      await decodeRows(engine, { type, bytes, rows: ROWS, rowLength: WIDTH }, decoded);
      const cells = await cellsOf(type);
      const { blockSize, blockBytes } = cells.format;
      const opened = new Float32Array(values.length);
      const again = new Uint8Array(bytes.length);
      for (let block = 0; block < values.length / blockSize; block++) {
        cells.open(bytes, block * blockBytes);
        cells.decode(opened.subarray(block * blockSize, (block + 1) * blockSize));
        cells.close(again, block * blockBytes);
      }
      expect(distance(opened, decoded)).toBe(0);
      expect(Buffer.compare(again, bytes)).toBe(0);
    },
  );
});

async function cellsOf(type: TensorType): Promise<CodebookCells> {
  const format = gridFormat(type)!;
  return new CodebookCells(format, new Codebook(await gridPoints(engine, type, format), format.dimensions));
}

describe('CodebookSolver', () => {
  test.each(grids)('%s: what it stores has the loss that it tells, never more than before', async (type) => {
    const [{ metric }] = statistics.factor.spans;
    const { size, stride, matrix } = metric;
    const lossOf = (target: Float32Array, decoded: Float32Array): number => {
      const wrong = Float64Array.from(target, (value, j) => value - decoded[j]);
      return wrong.reduce(
        (total, error, i) =>
          total + wrong.reduce((part, other, j) => part + error * matrix[i * stride + j] * other, 0),
        0,
      );
    };
    const cells = await cellsOf(type);
    const solver = new CodebookSolver(await SpanMemory.make(stride), eightsMetric(metric), cells);
    const bytes = new Uint8Array(tensorByteLength(type, [size]));
    const decoded = new Float32Array(size);
    for (let row = 0; row < ROWS; row++) {
      const target = values.subarray(row * WIDTH, row * WIDTH + size);
      const request = { type, values: target, rows: 1, rowLength: size, importance: diagonalOf(metric) };
      await encodeRows(engine, request, bytes);
      await decodeRows(engine, { type, bytes, rows: 1, rowLength: size }, decoded);
      const before = lossOf(target, decoded);
      for (const rounding of [{ feedback: true, refit: false }, BOTH]) {
        cells.open(bytes, 0);
        const loss = solver.solve(target, rounding);
        const closed = new Uint8Array(bytes.length);
        cells.close(closed, 0);
        await decodeRows(engine, { type, bytes: closed, rows: 1, rowLength: size }, decoded);
        expect(distance(decoded, solver.values)).toBe(0);
        expect(lossOf(target, decoded) / loss).toBeCloseTo(1, 3);
        expect(loss).toBeLessThan(before);
      }
    }
  });
});

describe('roundRows', () => {
  const schemes: readonly StorageType[] = [...linear, ...grids, 'affine4-g64', 'affine2-row', 'int8'];

  test.each(schemes)(
    '%s: loses no row more than the nearest codes, and all together less',
    async (scheme) => {
      const request = { scheme, values, rows: ROWS, rowLength: WIDTH, importance };
      const { losses, values: decoded, bytes, affine } = await rounded(request);
      losses.kept.forEach((loss, row) => expect(loss).toBeLessThanOrEqual(losses.nearest[row]));
      expect(sum(losses.kept)).toBeLessThan(0.8 * sum(losses.nearest));
      const spec = affineSpec(scheme);
      if (spec !== undefined && affine !== null)
        expect(decodeAffine(closeAffine(affine, spec, ROWS, WIDTH))).toEqual(decoded);
      expect(affine === null).toBe(spec === undefined);
      if (bytes === null) return;
      const real = new Float32Array(values.length);
      await decodeRows(engine, { type: scheme as TensorType, bytes, rows: ROWS, rowLength: WIDTH }, real);
      expect(distance(real, decoded)).toBeLessThan(1e-6);
    },
  );

  test('rows by themselves have the bytes that they have together', async () => {
    const all = await roundRows(
      engine,
      { scheme: 'Q3_K', values, rows: ROWS, rowLength: WIDTH, importance },
      statistics,
    );
    const rowBytes = all.bytes!.length / ROWS;
    for (const [first, rows] of [
      [0, 1],
      [1, 4],
      [5, 7],
    ]) {
      const part = values.slice(first * WIDTH, (first + rows) * WIDTH);
      const request = { scheme: 'Q3_K', values: part, rows, rowLength: WIDTH, importance } as const;
      const { bytes } = await roundRows(engine, request, statistics);
      expect(bytes).toEqual(all.bytes!.slice(first * rowBytes, (first + rows) * rowBytes));
    }
  });

  test('refitting adds to feedback, and each alone to nearest codes', async () => {
    const lossOf = async (rounding: TensorStatistics['rounding']): Promise<number> => {
      const request = { scheme: 'Q4_K', values, rows: ROWS, rowLength: WIDTH, importance } as const;
      return sum((await roundRows(engine, request, { ...statistics, rounding })).losses.kept);
    };
    const [feedback, refit, both] = [
      await lossOf({ feedback: true, refit: false }),
      await lossOf({ feedback: false, refit: true }),
      await lossOf(BOTH),
    ];
    expect(both).toBeLessThan(feedback);
    expect(both).toBeLessThan(refit);
  });
});

describe('factorGram', () => {
  test('the losses of spans add up to the loss of the row', async () => {
    const damped = fit.slice();
    const trace = sum(importance);
    for (let i = 0; i < WIDTH; i++) damped[i * WIDTH + i] += (0.01 * trace) / WIDTH;
    const request = { scheme: 'Q4_K', values, rows: ROWS, rowLength: WIDTH, importance } as const;
    // Checked by what it was made of, no row falls back to the nearest codes.
    const { values: decoded } = await rounded(request, { ...statistics, check: triangleOf(damped) });
    const whole = sum(await gramRowErrors(engine, values, decoded, ROWS, WIDTH, triangleOf(damped)));
    let spans = 0;
    for (let row = 0; row < ROWS; row++) {
      const errors = Float64Array.from(
        { length: WIDTH },
        (_, j) => values[row * WIDTH + j] - decoded[row * WIDTH + j],
      );
      for (const { first, metric, pull } of statistics.factor.spans) {
        const { size, stride, matrix } = metric;
        const found = errors.slice(first, first + size);
        for (let i = 0; pull !== null && i < size; i++)
          for (let a = 0; a < first; a++) found[i] += errors[a] * pull[i * first + a];
        for (let i = 0; i < size; i++)
          for (let j = 0; j < size; j++) spans += found[i] * matrix[i * stride + j] * found[j];
      }
    }
    expect(spans / whole).toBeCloseTo(1, 3);
  });

  test('inputs that are always zero are damped; what is no number is refused with the tensor named', async () => {
    const dead = new Float32Array(WIDTH * WIDTH);
    expect((await factorGram(engine, triangleOf(dead), 'blk.0.ffn_up.weight')).spans).toHaveLength(2);
    const broken = fit.slice();
    broken[5 * WIDTH] = Number.NaN;
    await expect(factorGram(engine, triangleOf(broken), 'blk.0.ffn_up.weight')).rejects.toMatchObject({
      code: 'GRAM_NOT_FINITE',
      message: expect.stringContaining('blk.0.ffn_up.weight') as string,
    });
    const impossible = triangleOf(fit);
    const block = impossible.diagonalBlock(1);
    block[1] = block[256] = 1e9;
    await expect(factorGram(engine, impossible, 'blk.0.ffn_up.weight')).rejects.toMatchObject({
      code: 'GRAM_SINGULAR',
    });
  });

  test('products that its factor makes are those of the whole matrix', async () => {
    // H = U M U', with U unit upper triangular.
    const { spans } = await factorGram(engine, triangleOf(fit), 'test', 0);
    const [{ metric: head }, { metric: tail, pull }] = spans;
    for (const [i, j] of [
      [0, 0],
      [3, 200],
      [255, 17],
    ]) {
      const size = Math.sqrt(fit[i * WIDTH + i] * fit[j * WIDTH + j]);
      expect(entryOf(i, j) / size).toBeCloseTo(fit[i * WIDTH + j] / size, 3);
    }
    function entryOf(i: number, j: number): number {
      let sum = head.matrix[i * head.stride + j];
      for (let a = 0; a < 256; a++)
        for (let b = 0; b < 256; b++)
          sum += pull![a * 256 + i] * tail.matrix[a * tail.stride + b] * pull![b * 256 + j];
      return sum;
    }
  });
});

test('a span of zeros stays zeros', async () => {
  const [{ metric }] = statistics.factor.spans;
  const targets = new Float32Array(metric.size);
  const bytes = new Uint8Array(tensorByteLength('Q4_K', [metric.size]));
  const storage = { kind: 'blocks', type: 'Q4_K', bytes } as const;
  const place = { values: new Float32Array(metric.size).fill(1), rowLength: metric.size, first: 0 };
  await solveSpans({ metric, rounding: BOTH, rows: 1, targets, place, storage });
  expect(place.values.every((value) => value === 0)).toBe(true);
  expect(targets.every((value) => value === 0)).toBe(true);
});

test.each(grids)('%s: a super-block of zeros stays zeros', async (type) => {
  const [{ metric }] = statistics.factor.spans;
  const { size } = metric;
  const bytes = new Uint8Array(tensorByteLength(type, [size]));
  const request = { type, values: new Float32Array(size), rows: 1, rowLength: size };
  await encodeRows(engine, { ...request, importance: diagonalOf(metric) }, bytes);
  const points = await gridPoints(engine, type, gridFormat(type)!);
  const storage = { kind: 'grid', type, bytes, points, eights: eightsMetric(metric) } as const;
  const place = { values: new Float32Array(size).fill(1), rowLength: size, first: 0 };
  await solveSpans({ metric, rounding: BOTH, rows: 1, targets: new Float32Array(size), place, storage });
  expect(place.values.every((value) => value === 0)).toBe(true);
});
