/**
 * @file The kernels of the low i-quants against the engine's encoders, which need seconds for their tables and so have no
 * place in the everyday tests: whatever the weights and whatever their importance, the bytes are the same.
 */
import { tensorTypes, type TensorType } from '@bitsmith/formats';
import { expect, test } from 'vitest';
import { ImportanceScaler, largestMagnitude } from '../../packages/ggml/src/api/importance-scale.js';
import { bytesOf, encodeByKernel } from '../../packages/ggml/src/api/kernel-encoder.js';
import {
  digestOf,
  knownDigests,
  knownDigestsWithoutImportance,
  sampleImportance,
  sampleRowLength,
  sampleRows,
  sampleValues,
} from '../../packages/ggml/src/api/kernel-sample.js';
import { encodedByteLength, loadEngine } from '../../packages/ggml/src/index.js';
import { drawn, importances, weights } from '../../packages/ggml/test/support/draws.js';

const engine = loadEngine({ threads: 2 });
const types = Object.keys(knownDigests) as TensorType[];
const typesWithoutImportance = Object.keys(knownDigestsWithoutImportance) as TensorType[];

interface Rows {
  readonly values: Float32Array;
  readonly rows: number;
  readonly rowLength: number;
  readonly importance: Float32Array | undefined;
}

function engineBytes(type: TensorType, { values, rows, rowLength, importance }: Rows): Uint8Array {
  const target = new Uint8Array(encodedByteLength(type, rows, rowLength));
  const { id } = tensorTypes[type];
  engine.native.ggml_quantize_init(id);
  engine.native.ggml_quantize_chunk(id, values, target, 0, rows, rowLength, importance ?? null);
  return target;
}

async function kernelBytes(type: TensorType, given: Rows): Promise<Uint8Array> {
  const { values, rows, rowLength, importance } = given;
  const target = new Uint8Array(encodedByteLength(type, rows, rowLength));
  const limits = { largestImportance: null };
  const bytes = bytesOf(values);
  const request = { source: 'F32', bytes, rows, rowLength, importance, limits, target } as const;
  expect(await encodeByKernel(engine, type, request)).toBe(true);
  return target;
}

test.runIf(process.arch === 'x64').each(types)('%s has the bytes of the engine', async (type) => {
  const [rows, rowLength] = [8, 768];
  for (const [weightName, weight] of Object.entries(weights)) {
    for (const [importanceName, column] of Object.entries(importances)) {
      const values = drawn(weight, rows * rowLength, 1);
      // The engine ends the process where a search leaves the range of float32.
      const importance = new ImportanceScaler(drawn(column, rowLength, 2)).for(largestMagnitude(values));
      const given = { values, rows, rowLength, importance };
      const equal = Buffer.compare(await kernelBytes(type, given), engineBytes(type, given)) === 0;
      expect(equal, `${weightName} weights, ${importanceName} importance`).toBe(true);
    }
  }
});

test.runIf(process.arch === 'x64').each(types)('%s has the known digest of the sample', (type) => {
  const importance = sampleImportance();
  const given = { values: sampleValues(), rows: sampleRows, rowLength: sampleRowLength, importance };
  expect(digestOf(engineBytes(type, given))).toBe(knownDigests[type]);
});

test.runIf(process.arch === 'x64').each(typesWithoutImportance)(
  '%s has the bytes of the engine, without importance',
  async (type) => {
    const [rows, rowLength] = [8, 768];
    for (const [name, weight] of Object.entries(weights)) {
      const given = { values: drawn(weight, rows * rowLength, 1), rows, rowLength, importance: undefined };
      const equal = Buffer.compare(await kernelBytes(type, given), engineBytes(type, given)) === 0;
      expect(equal, `${name} weights`).toBe(true);
    }
    const sample = {
      values: sampleValues(),
      rows: sampleRows,
      rowLength: sampleRowLength,
      importance: undefined,
    };
    expect(digestOf(engineBytes(type, sample))).toBe(knownDigestsWithoutImportance[type]);
  },
);
