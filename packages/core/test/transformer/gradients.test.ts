import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { ggufUint32 } from '@bitsmith/formats';
import { loadEngine } from '@bitsmith/ggml';
import { describe, expect, test } from 'vitest';
import type { SequenceGradients } from '../../src/transformer/sequence-gradients.js';
import { temporaryFolder } from '../support/temporary.js';
import { logProbability, openPass } from '../support/tiny-pass.js';
import {
  matrixShapes,
  type TinyFamily,
  type TinyShape,
  tinyFamilies,
  tinyFamilyNames,
  tinyTokens,
  WeightEditor,
  writeTinyTransformer,
} from '../support/tiny-transformer.js';

const engine = loadEngine({ threads: 2 });
const folder = await temporaryFolder();
const POSITIONS = 9;
const sequence = { index: 3, tokens: tinyTokens(POSITIONS, 12, 7) };
const settings = { positions: POSITIONS, firstScored: 2 };

/** As small as every turn of the family allows: each weight that is moved costs two forward passes. */
function smallest(name: TinyFamily): TinyShape {
  const shape: TinyShape = tinyFamilies[name];
  const keys = { ...shape.keys, 'attention.sliding_window_pattern': ggufUint32(2) };
  return {
    ...shape,
    keys,
    width: 8,
    blocks: 2,
    heads: 2,
    keyValueHeads: 1,
    headSize: 8,
    feedForward: 8,
    vocabulary: 12,
  };
}

type Slope = (row: number, column: number) => Promise<number>;

/** Finite differences of the labels' summed log-probability by weights in the file. */
function slopeOf(
  { file, labels, wide }: { file: string; labels: Int32Array; wide: boolean },
  tensor: string,
  step: number,
): Slope {
  const editor = new WeightEditor(file);
  const loss = async (): Promise<number> => {
    await using opened = await openPass(engine, file, settings);
    return logProbability(await opened.pass.logits(sequence), labels);
  };
  const difference = async (row: number, column: number, change: number): Promise<number> => {
    const at = { tensor, row, column };
    const [above, up] = await editor.during(at, change, async (added) => [await loss(), added]);
    const [below, down] = await editor.during(at, -change, async (added) => [await loss(), added]);
    return (above - below) / (up - down);
  };
  return async (row, column) => {
    const near = await difference(row, column, step);
    // Wide steps bend: what the slope over twice the step tells of the bend is taken off.
    return wide ? (4 * near - (await difference(row, column, 2 * step))) / 3 : near;
  };
}

async function gradientsOf(file: string): Promise<SequenceGradients> {
  await using opened = await openPass(engine, file, settings);
  const [found] = await opened.pass.run([sequence]);
  return found;
}

const sumOfSquares = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value * value, 0);
const most = (values: Float32Array): number => values.indexOf(Math.max(...values));

describe('row and column sums of squared gradients equal those of finite differences', () => {
  /** One model for each turn that a gradient can take; the rest turn the same way. */
  const turns: readonly TinyFamily[] = [
    'llama, tied, with frequencies of its own',
    'llama with biases, stretched',
    'qwen2, tied, stretched by YaRN',
    'qwen3',
    'gemma3 with bent logits and a pattern of two',
    'phi3',
  ];
  test.each(turns)('%s', { timeout: 120_000 }, async (name) => {
    const shape = smallest(name);
    const file = path.join(folder, `${tinyFamilyNames.indexOf(name)}.gguf`);
    await writeTinyTransformer(file, shape, 11);
    const before = await readFile(file);
    const { labels, squared } = await gradientsOf(file);
    expect([...labels.subarray(0, 2)]).toEqual([-1, -1]);
    expect(labels.subarray(2).every((label) => label >= 0 && label < 12)).toBe(true);

    // GELU's values come from a table of half floats: small steps would measure its stairs.
    const wide = shape.architecture === 'gemma3';
    const [step, tolerance] = wide ? [0.03, 0.06] : [0.006, 0.01];
    // Gemma's embedding is scaled up by the root of its width.
    const stepOf = (tensor: string): number => (tensor.startsWith('token_embd') ? step / Math.sqrt(8) : step);
    const matrices = matrixShapes(shape);
    expect(new Set(squared.keys())).toEqual(new Set(matrices.keys()));
    const inBlock = [...matrices].filter(([tensor]) => !tensor.startsWith('blk.0.'));
    for (const [tensor, [columns, rows]] of inBlock) {
      const slope = slopeOf({ file, labels, wide }, tensor, stepOf(tensor));
      const found = squared.get(tensor) as NonNullable<ReturnType<typeof squared.get>>;
      const [row, column] = [most(found.rows), most(found.columns)];
      const rowSlopes: number[] = [];
      for (let j = 0; j < columns; j++) rowSlopes.push(await slope(row, j));
      const columnSlopes: number[] = [];
      for (let i = 0; i < rows; i++) columnSlopes.push(await slope(i, column));
      const rowError = found.rows[row] / sumOfSquares(rowSlopes) - 1;
      const columnError = found.columns[column] / sumOfSquares(columnSlopes) - 1;
      expect(Math.abs(rowError)).toBeLessThan(tolerance);
      expect(Math.abs(columnError)).toBeLessThan(tolerance);
      const [rowSum, columnSum] = [found.rows, found.columns].map((values) =>
        values.reduce((a, b) => a + b, 0),
      );
      expect(Math.abs(rowSum / columnSum - 1)).toBeLessThan(1e-4);
    }
    expect(await readFile(file)).toEqual(before);
  });
});
