/** Learned rounding on a small model: what comes out is better on sequences that were not learned from, and never worse. */
import path from 'node:path';
import { decodeAffine, encodeAffine, type ImportanceMatrix } from '@bitsmith/formats';
import { loadEngine } from '@bitsmith/ggml';
import { describe, expect, test } from 'vitest';
import { AffineGrid } from '../../src/encode/learned/affine-grid.js';
import { Rounder } from '../../src/encode/feedback/rounder.js';
import { channelWeights } from '../../src/encode/learned/channel-weights.js';
import type { BlockLearned } from '../../src/encode/learned/learn-block.js';
import { LearnedMatrix } from '../../src/encode/learned/learned-matrix.js';
import { LearnedPass } from '../../src/encode/learned/learned-pass.js';
import type { StoredParts } from '../../src/encode/learned/level-grid.js';
import { learnedSettings } from '../../src/encode/learned/options.js';
import { gridOf, isLearnable, nearestGrid } from '../../src/encode/learned/starting-grid.js';
import { writeGradients } from '../../src/transformer/fisher-file.js';
import type { StorageType } from '../../src/plan/schemes.js';
import { expectFailure } from '../support/errors.js';
import { gaussian, randomFrom } from '../support/random.js';
import { temporaryFolder } from '../support/temporary.js';
import { tinyPassSettings } from '../support/tiny-pass.js';
import {
  matrixShapes,
  tinyFamilies,
  tinyTokens,
  type TinyShape,
  writeTinyTransformer,
} from '../support/tiny-transformer.js';

const engine = loadEngine({ threads: 1 });
const folder = await temporaryFolder();
/** Rows of whole blocks. */
const shape: TinyShape = { ...tinyFamilies.llama, feedForward: 64 };
const file = path.join(folder, 'tiny.gguf');
await writeTinyTransformer(file, shape);
const linear = [...matrixShapes(shape)].filter(([name]) => name.startsWith('blk.'));
/** Fewer than channels: these then move together, and much is to be gained. */
const DISTINCT_TOKENS = 12;
const sequences = Array.from({ length: 16 }, (_, index) => tinyTokens(32, DISTINCT_TOKENS, index));

const importance: ImportanceMatrix = {
  datasets: [],
  chunkCount: 1,
  chunkSize: 1,
  extra: new Map(),
  entries: new Map(
    linear.map(([name, [columns]]) => [
      name,
      { columns, matrices: 1, inSum2: new Float32Array(columns).fill(1), counts: Float32Array.of(1) },
    ]),
  ),
};

interface Outcome {
  readonly parts: ReadonlyMap<string, StoredParts>;
  readonly learned: readonly BlockLearned[];
}

async function learn(
  scheme: StorageType,
  steps: number,
  { lanes = 1, known = new Map<string, StoredParts>() } = {},
): Promise<Outcome> {
  await using opened = await tinyPassSettings(engine, file, { positions: 32, lanes });
  const pass = await LearnedPass.open({
    ...opened.settings,
    importance,
    schemes: new Map(linear.map(([name]) => [name, scheme])),
    learned: learnedSettings({ steps, samples: 16, batch: 2 }),
    rounder: new Rounder(engine, null),
  });
  const parts = new Map<string, StoredParts>();
  const learned: BlockLearned[] = [];
  try {
    await pass.run(sequences, {
      known: async (block) => (block === 0 && known.size > 0 ? known : null),
      take: async (_, tensors, found) => {
        for (const [name, each] of tensors) parts.set(name, each);
        learned.push(found);
      },
    });
  } finally {
    pass.dispose();
  }
  return { parts, learned };
}

describe('a model', () => {
  test.each(['affine3-g16', 'affine4-row', 'Q4_0', 'Q5_1', 'Q8_0'] as const)(
    '%s: less error than the nearest codes on sequences that were not learned from',
    async (scheme) => {
      const { learned, parts } = await learn(scheme, 48);
      expect(learned).toHaveLength(shape.blocks);
      for (const { startError, error, keptStep } of learned) {
        expect(error).toBeLessThan(0.97 * startError);
        expect(keptStep).toBeGreaterThan(0);
      }
      expect(new Set(parts.keys())).toEqual(new Set(linear.map(([name]) => name)));
    },
  );

  test('the same bytes for any number of lanes, and from blocks that are done', async () => {
    const { parts } = await learn('affine3-g16', 8);
    expect((await learn('affine3-g16', 8, { lanes: 2 })).parts).toEqual(parts);
    const first = new Map([...parts].filter(([name]) => name.startsWith('blk.0.')));
    const rest = new Map([...parts].filter(([name]) => !name.startsWith('blk.0.')));
    expect((await learn('affine3-g16', 8, { known: first })).parts).toEqual(rest);
  });

  test('a step that makes everything worse leaves the start', async () => {
    // One step at the rate 1: every code moves by one, and every range by half.
    const { learned, parts } = await learn('affine4-row', 1);
    const [{ startError, error, keptStep }] = learned;
    expect({ error, keptStep }).toEqual({ error: startError, keptStep: 0 });
    const values = await opened('blk.0.attn_q.weight');
    const start = await nearestGrid(engine, 1, 'affine4-row', {
      ...values,
      importance: new Float32Array(values.rowLength).fill(1),
    });
    expect(parts.get('blk.0.attn_q.weight')).toEqual(start.parts());
  });
});

async function opened(name: string): Promise<{ values: Float32Array; rows: number; rowLength: number }> {
  await using pass = await tinyPassSettings(engine, file, { positions: 16 });
  const { files } = pass.settings;
  const { rows, rowLength, rowBytes } = files.tensor(name);
  const bytes = new Uint8Array(rows * rowBytes);
  await files.readRows(name, 0, bytes);
  return { values: new Float32Array(bytes.buffer), rows, rowLength };
}

test('channels count as the gradients of the stream behind the block say', async () => {
  const written = async (name: string, energies: readonly number[]): Promise<string> => {
    const energy = Float32Array.from(energies);
    const one = Float32Array.of(1);
    const squared = { rows: energy, columns: one, energy, growth: one };
    const gradients = {
      labels: new Int32Array(1),
      inner: new Map(),
      squared: new Map([['blk.1.ffn_down.weight', squared]]),
    };
    await writeGradients(path.join(folder, name), gradients);
    return path.join(folder, name);
  };
  const files = [await written('a', [1, 2, 0, 1]), await written('b', [3, 0, 0, 1])];
  expect(await channelWeights(files, 1)).toEqual(Float32Array.of(2, 1, 0, 1));
  const nothing = await written('c', [0, 0, 0, 0]);
  await expectFailure(() => channelWeights([nothing], 1), 'analysis', 'LEARNED_GRADIENTS', /behind block 1/);
});

describe('a matrix', () => {
  const random = randomFrom(5);
  const [rows, rowLength] = [6, 40];
  const weights = Float32Array.from({ length: rows * rowLength }, () => gaussian(random));
  const encoded = (): ReturnType<typeof encodeAffine> =>
    encodeAffine(
      { values: weights, rows, rowLength },
      { bits: 3, groupSize: 16, symmetry: 'asymmetric', scaleType: 'F16' },
    );
  const rounded = (matrix: LearnedMatrix): Float32Array => {
    const into = new Float32Array(weights.length);
    matrix.round(into);
    return into;
  };

  test('begins as it was encoded, whatever its codes are', () => {
    const grid = new AffineGrid(encoded());
    expect(rounded(new LearnedMatrix(grid, weights))).toEqual(decodeAffine(encoded()));
    for (let i = 0; i < grid.codes.length; i++) grid.codes[i] = Math.floor(random() * 8);
    const expected = decodeAffine(grid.tensor());
    expect(rounded(new LearnedMatrix(grid, weights))).toEqual(expected);
  });

  test('codes that were chosen together give way only to what many steps agree on', () => {
    const grid = new AffineGrid(encoded());
    for (let i = 0; i < grid.codes.length; i++) grid.codes[i] = 1 + Math.floor(random() * 6);
    const matrix = new LearnedMatrix(grid, weights, 0.2);
    const start = rounded(matrix);
    const pull = Float32Array.from(weights, (_, i) => (i % 3 === 0 ? 1 : 0));
    for (let step = 0; step < 39; step++) matrix.step(pull, 1 / 100);
    expect(rounded(matrix)).toEqual(start);
    for (let step = 0; step < 20; step++) matrix.step(pull, 1 / 100);
    const end = rounded(matrix);
    const fallen = end.filter((value, i) => value < start[i]).length;
    end.forEach((value, i) => expect(value === start[i] || (i % 3 === 0 && value < start[i])).toBe(true));
    expect(fallen).toBeGreaterThan(weights.length / 8);
  });

  test('ranges stay within a half of where they began, however long a gradient pulls', () => {
    const grid = new AffineGrid(encoded());
    const before = grid.scales.slice();
    const matrix = new LearnedMatrix(grid, weights);
    const gradient = Float32Array.from(weights, () => gaussian(random));
    for (let step = 0; step < 300; step++) matrix.step(gradient, 1 / 20);
    const ratios = grid.scales.map((scale, group) => scale / before[group]);
    expect(Math.min(...ratios)).toBeGreaterThanOrEqual(0.499);
    expect(Math.max(...ratios)).toBeLessThanOrEqual(1.501);
    expect(Math.max(...ratios)).toBeGreaterThan(1.4);
    expect(grid.codes.every((code) => code <= 7)).toBe(true);
  });

  test('what was not kept is gone', () => {
    const grid = new AffineGrid(encoded());
    const matrix = new LearnedMatrix(grid, weights);
    const pull = Float32Array.from(weights, (_, i) => (i % 2 === 0 ? 1 : -1));
    matrix.step(pull, 1 / 10);
    matrix.keep();
    const kept = rounded(matrix);
    matrix.step(
      Float32Array.from(weights, () => Number.NaN),
      1 / 10,
    );
    matrix.step(pull, 1 / 2);
    expect(rounded(matrix)).not.toEqual(kept);
    const into = new Float32Array(weights.length);
    matrix.finish(into);
    expect(into).toEqual(kept);
    expect(decodeAffine(grid.tensor())).toEqual(kept);
  });
});

test('blocks of every linear type come back byte for byte when nothing was learned', async () => {
  const random = randomFrom(9);
  const [rows, rowLength] = [3, 512];
  const values = Float32Array.from({ length: rows * rowLength }, () => gaussian(random));
  const input = { values, rows, rowLength, importance: new Float32Array(rowLength).fill(1) };
  for (const scheme of [
    'Q4_0',
    'Q4_1',
    'Q5_0',
    'Q5_1',
    'Q8_0',
    'Q2_K',
    'Q3_K',
    'Q4_K',
    'Q5_K',
    'Q6_K',
  ] as const) {
    const parts = (await nearestGrid(engine, 1, scheme, input)).parts();
    const grid = gridOf(scheme, { data: parts['data'].slice() }, input);
    grid.stretch(new Float32Array(grid.scales.length).fill(1), new Float32Array(grid.scales.length).fill(1));
    expect(grid.parts(), scheme).toEqual(parts);
  }
});

test('schemes of uneven levels and settings that make no sense are refused', async () => {
  expect(isLearnable('IQ4_NL')).toBe(false);
  expect(isLearnable('IQ2_XS')).toBe(false);
  const input = {
    values: new Float32Array(32),
    rows: 1,
    rowLength: 32,
    importance: new Float32Array(32).fill(1),
  };
  await expectFailure(() => nearestGrid(engine, 1, 'IQ4_NL', input), 'arguments', 'LEARNED_SCHEME');
  await expectFailure(() => learnedSettings({ steps: 0 }), 'arguments', 'LEARNED_INVALID');
});
