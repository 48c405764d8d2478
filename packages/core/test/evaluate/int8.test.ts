import path from 'node:path';
import { alignedFloats, ComputeGraph, loadEngine, Tape } from '@bitsmith/ggml';
import { describe, expect, test } from 'vitest';
import {
  type ActivationScales,
  encodeActivations,
  parseActivationScales,
  scaleOf,
  tokenScales,
} from '../../src/evaluate/int8/activation-codes.js';
import { runInputRanges } from '../../src/evaluate/int8/input-ranges-task.js';
import { Int8Parts } from '../../src/evaluate/int8/int8-parts.js';
import { runInt8 } from '../../src/evaluate/int8/int8-task.js';
import { encodeWeights } from '../../src/evaluate/int8/weight-codes.js';
import type { SiteScales } from '../../src/transform/equalize/choose.js';
import { runEqualize } from '../../src/transform/equalize/equalize-task.js';
import { runFold } from '../../src/transform/equalize/fold-task.js';
import { expectFailure } from '../support/errors.js';
import { gaussian, randomFrom } from '../support/random.js';
import { temporaryFolder } from '../support/temporary.js';
import {
  type TinyShape,
  tinyFamilies,
  tinyFamilyNames,
  tinyTokens,
  WeightEditor,
  writeTinyTransformer,
} from '../support/tiny-transformer.js';

const engine = loadEngine({ threads: 2 });
const folder = await temporaryFolder();
const settings = { threads: 2, verbose: false };
const POSITIONS = 24;
const sequences = [1, 2, 3, 4].map((seed) => tinyTokens(POSITIONS, tinyFamilies.llama.vocabulary, seed));

/** Mean KL of the model in 8 bits from the source. */
async function lossOf(source: string, file: string, activationScales: ActivationScales): Promise<number> {
  const calibrated = { files: [file], positions: POSITIONS, sequences };
  const { scales } = await runInputRanges(calibrated, () => undefined, settings);
  const { scores } = await runInt8(
    {
      sourceFiles: [source],
      files: [file],
      importancePath: null,
      positions: POSITIONS,
      sequences,
      activationScales,
      fixedScales: activationScales === 'static' ? scales : {},
    },
    () => undefined,
    settings,
  );
  return scores.klNats.reduce((sum, value) => sum + value, 0) / scores.klNats.length;
}

async function write(name: string, shape: TinyShape): Promise<string> {
  const file = path.join(folder, `${name.replaceAll(/\W+/g, '-')}.gguf`);
  await writeTinyTransformer(file, shape);
  return file;
}

describe('activations as codes', () => {
  test('round to even, reach 127 at the largest of a token, and are cut off beyond a scale', () => {
    const values = Float32Array.of(-2, 1, 0.5, 0, 254, 3, 5, -127, 0, 0, 0, 0);
    const scales = new Float32Array(3);
    const codes = new Float32Array(12);
    tokenScales(values, 4, scales);
    expect([...scales]).toEqual([2 / 127, 2, 0].map(Math.fround));
    encodeActivations(values, 4, scales, codes);
    expect([...codes]).toEqual([-127, 64, 32, 0, 127, 2, 2, -64, 0, 0, 0, 0]);
    expect(scaleOf(values)).toBe(2);
    encodeActivations(values, 4, Float32Array.of(1, 1, 1), codes);
    expect([...codes.subarray(4, 8)]).toEqual([127, 3, 5, -127]);
  });

  test('scales of another kind are refused', () =>
    expectFailure(() => parseActivationScales('channel'), 'arguments', 'ACTIVATION_SCALES_UNKNOWN'));
});

test('a product in a graph is that of whole numbers, with the scales behind it', async () => {
  const [columns, rows, tokens] = [64, 24, 5];
  const random = randomFrom(7);
  const draw = (length: number): Float32Array => alignedFloats(length).map(() => gaussian(random));
  const [weights, x, bias] = [draw(columns * rows), draw(columns * tokens), draw(rows)];
  const exact = weights.slice();
  const matrix = { shape: [columns, rows] as const, values: alignedFloats(columns * rows), transposed: null };
  matrix.values.set(weights);
  const rowScales = alignedFloats(rows);
  encodeWeights(matrix, null, rowScales);
  const [scales, codes, into] = [
    alignedFloats(tokens),
    alignedFloats(x.length),
    alignedFloats(rows * tokens),
  ];
  tokenScales(x, columns, scales);
  encodeActivations(x, columns, scales, codes);

  const graph = new ComputeGraph(engine, 32);
  const named = { matrices: new Map([['m', matrix]]), vectors: new Map([['m.bias', bias]]) };
  const parts = new Int8Parts(graph, { ...named, scales: new Map([['m', rowScales]]) }, scales);
  graph.store(parts.linear(new Tape(graph), graph.leaf(codes, columns, tokens), 'm'), into);
  await graph.compute();
  graph.dispose();

  const [a, b] = [Int8Array.from(matrix.values), Int8Array.from(codes)];
  expect([Float32Array.from(a), Float32Array.from(b)]).toEqual([matrix.values, codes]);
  for (let token = 0; token < tokens; token++) {
    for (let row = 0; row < rows; row++) {
      let whole = 0;
      let float = 0;
      for (let column = 0; column < columns; column++) {
        whole += a[row * columns + column] * b[token * columns + column];
        float += exact[row * columns + column] * x[token * columns + column];
      }
      const y = into[token * rows + row];
      const expected = Math.fround(Math.fround(whole * rowScales[row]) * scales[token]);
      expect(y).toBe(Math.fround(expected + bias[row]));
      expect(Math.abs(y - bias[row] - float)).toBeLessThan(0.4);
    }
  }
});

test.each(tinyFamilyNames)('%s in 8 bits is nearly what it was', async (name) => {
  const file = await write(name, tinyFamilies[name]);
  const loss = await lossOf(file, file, 'token');
  expect(loss).toBeGreaterThan(0);
  expect(loss).toBeLessThan(0.02);
});

test('with outliers in its channels it is not, until they are equalized', async () => {
  const file = await write('outliers', tinyFamilies.qwen3);
  const channel = (tensor: string) => ({ tensor, row: 0, column: 5 });
  const loud = (tensor: string, work: () => Promise<void>): Promise<void> =>
    new WeightEditor(file).setting(channel(tensor), 400, work);
  await loud('blk.0.attn_norm.weight', () =>
    loud('blk.1.ffn_norm.weight', async () => {
      const mode = { kind: 'alpha', alpha: 0.5 } as const;
      const parameters = { files: [file], positions: POSITIONS, sequences, mode, blocks: [0, 1] };
      const scales: Float32Array[] = [];
      const take = (sites: readonly SiteScales[]) =>
        scales.push(...sites.map((site) => Float32Array.from(site.scales)));
      await runEqualize(parameters, ({ sites }) => take(sites), settings);
      const output = path.join(folder, 'equalized.gguf');
      await runFold({ files: [file], output, scales }, () => undefined, settings);
      for (const kind of ['token', 'tensor', 'static'] as const)
        expect(await lossOf(file, output, kind)).toBeLessThan(0.5 * (await lossOf(file, file, kind)));
    }),
  );
});
