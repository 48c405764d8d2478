import path from 'node:path';
import { loadEngine } from '@bitsmith/ggml';
import { describe, expect, test } from 'vitest';
import type { WeightChanges } from '../../src/transformer/inner-products.js';
import { WeightFiles } from '../../src/model/weight-files.js';
import { gaussian, randomFrom } from '../support/random.js';
import { temporaryFolder } from '../support/temporary.js';
import { logProbability, openPass } from '../support/tiny-pass.js';
import {
  matrixShapes,
  type TinyFamily,
  type TinyShape,
  tinyFamilies,
  tinyTokens,
  WeightEditor,
  writeTinyTransformer,
} from '../support/tiny-transformer.js';

const engine = loadEngine({ threads: 2 });
const folder = await temporaryFolder();
const POSITIONS = 12;

/** A random direction for every matrix. */
function directionsOf(shape: TinyShape): ReadonlyMap<string, Float32Array> {
  const random = randomFrom(6);
  return new Map(
    [...matrixShapes(shape)].map(([name, [columns, rows]]) => [
      name,
      Float32Array.from({ length: rows * columns }, () => 0.05 * gaussian(random)),
    ]),
  );
}

function asChanges(directions: ReadonlyMap<string, Float32Array>, shape: TinyShape): WeightChanges {
  const shapes = matrixShapes(shape);
  return {
    rows: async (tensor, firstRow, into) => {
      const [columns] = shapes.get(tensor) as readonly [number, number];
      const values = directions.get(tensor) as Float32Array;
      into.set(values.subarray(firstRow * columns, firstRow * columns + into.length));
    },
  };
}

describe('inner products of gradients and changes equal finite differences along the change', () => {
  const names: readonly TinyFamily[] = [
    'llama with biases, stretched',
    'llama, tied, with frequencies of its own',
    'gemma3 with bent logits and a pattern of two',
    'phi3',
  ];
  test.each(names)('%s', async (name) => {
    const shape: TinyShape = tinyFamilies[name];
    const file = path.join(folder, `${names.indexOf(name)}.gguf`);
    await writeTinyTransformer(file, shape, 9);
    const sequence = { index: 2, tokens: tinyTokens(POSITIONS, shape.vocabulary, 4) };
    const directions = directionsOf(shape);
    const settings = { positions: POSITIONS, firstScored: 1 };
    const found = async (headSlabBytes?: number, lanes = 1) => {
      const changes = asChanges(directions, shape);
      await using opened = await openPass(engine, file, { ...settings, changes, headSlabBytes, lanes });
      return (await opened.pass.run([sequence]))[0];
    };
    const { labels, inner } = await found();
    const loss = async (): Promise<number> => {
      await using opened = await openPass(engine, file, settings);
      return logProbability(await opened.pass.logits(sequence), labels);
    };
    expect(new Set(inner.keys())).toEqual(new Set(matrixShapes(shape).keys()));
    // Steps of GELU's table need wider ones than the rest.
    const step = shape.architecture === 'gemma3' ? 0.2 : 0.02;
    const editor = new WeightEditor(file);
    const errors: number[] = [];
    const slopes: number[] = [];
    for (const [tensor, direction] of directions) {
      let place = 0;
      const along = (by: number) => () => by * direction[place++ % direction.length];
      const at = async (by: number): Promise<number> => {
        place = 0;
        return editor.noising(tensor, along(by), loss);
      };
      const slope = ((await at(step)) - (await at(-step))) / (2 * step);
      slopes.push(slope);
      errors.push((inner.get(tensor) as number) - slope);
    }
    const size = (values: readonly number[]): number =>
      Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
    expect(size(slopes)).toBeGreaterThan(1);
    expect(size(errors) / size(slopes)).toBeLessThan(shape.architecture === 'gemma3' ? 0.04 : 0.005);

    const again = await found(7 * 32 * 8, 2);
    for (const [tensor, product] of inner)
      expect(Math.abs((again.inner.get(tensor) as number) - product)).toBeLessThan(1e-4 * size(slopes));
  });
});

describe('the growth of a matrix is the inner product with the matrix itself', () => {
  const names: readonly TinyFamily[] = [
    'llama with biases, stretched',
    'llama, tied, with frequencies of its own',
    'gemma3 with bent logits and a pattern of two',
    'phi3',
  ];
  test.each(names)('%s', async (name) => {
    const shape: TinyShape = tinyFamilies[name];
    const file = path.join(folder, `growth-${names.indexOf(name)}.gguf`);
    await writeTinyTransformer(file, shape, 9);
    const sequence = { index: 2, tokens: tinyTokens(POSITIONS, shape.vocabulary, 4) };
    const files = await WeightFiles.open([file]);
    const changes: WeightChanges = {
      rows: async (tensor, firstRow, into) => {
        const { type, rowLength } = files.tensor(tensor);
        expect(type).toBe('F32');
        await files.readRows(tensor, firstRow, new Uint8Array(into.buffer, into.byteOffset, into.byteLength));
        expect(into.length % rowLength).toBe(0);
      },
    };
    await using opened = await openPass(engine, file, { positions: POSITIONS, firstScored: 1, changes });
    const [{ inner, squared }] = await opened.pass.run([sequence]);
    await files.close();
    expect(new Set(squared.keys())).toEqual(new Set(inner.keys()));
    const largest = Math.max(...[...inner.values()].map(Math.abs));
    expect(largest).toBeGreaterThan(0.1);
    // A tied matrix has rows of its own in the embedding scaled by the family: both say the same.
    for (const [tensor, { growth }] of squared)
      expect(Math.abs(growth[0] - (inner.get(tensor) as number)) / largest).toBeLessThan(1e-4);
  });
});
