import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import {
  encodeFloats,
  type ImportanceMatrix,
  layoutGguf,
  MemorySink,
  type TensorType,
  writeGguf,
} from '@bitsmith/formats';
import { loadEngine } from '@bitsmith/ggml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EncoderLane, weightsFor } from '../../src/encode/encode-rows.js';
import { WeightFiles } from '../../src/model/weight-files.js';
import { expectFailure } from '../support/errors.js';

const rows = 8;
const rowLength = 256;
const slab = { firstRow: 2, rows: 4 };
const importance: ImportanceMatrix = {
  datasets: [],
  chunkCount: 1,
  chunkSize: 1,
  entries: new Map(
    ['sound', 'damaged'].map((name) => [
      `${name}.weight`,
      {
        columns: rowLength,
        matrices: 1,
        inSum2: new Float32Array(rowLength).fill(1),
        counts: Float32Array.of(1),
      },
    ]),
  ),
  extra: new Map(),
};

let folder: string;
let files: WeightFiles;

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'bitsmith-encode-'));
  const file = path.join(folder, 'source.gguf');
  const sound = Float32Array.from({ length: rows * rowLength }, (_, index) => Math.sin(index));
  const damaged = sound.slice();
  damaged[3 * rowLength + 17] = Number.NaN;
  const values = [sound, damaged];
  const shape = [rowLength, rows];
  const layout = layoutGguf({
    metadata: new Map(),
    tensors: ['sound.weight', 'damaged.weight'].map((name) => ({ name, type: 'F16', shape })),
  });
  const sink = new MemorySink();
  await writeGguf(sink, layout, (_, index, target) => target.write(encodeFloats('F16', values[index])));
  await writeFile(file, sink.toBytes());
  files = await WeightFiles.open([file]);
});

afterAll(async () => {
  await files.close();
  await rm(folder, { recursive: true });
});

function encode(name: string, scheme: TensorType): Promise<Uint8Array> {
  const lane = new EncoderLane(loadEngine({ threads: 1 }), files);
  const tensor = files.tensor(name);
  return lane.encode(tensor, slab, scheme, weightsFor(importance, tensor, scheme));
}

describe('a slab of rows', () => {
  test.each(['F16', 'F32', 'Q8_0', 'Q4_K'] as const)('in %s has the bytes of its rows', async (scheme) => {
    const bytes = await encode('sound.weight', scheme);
    const bits = { F16: 16, F32: 32, Q8_0: 8.5, Q4_K: 4.5 }[scheme];
    expect(bytes.byteLength).toBe((slab.rows * rowLength * bits) / 8);
  });

  test.each(['F16', 'F32', 'Q8_0', 'Q4_K'] as const)(
    'with a weight that is no number is refused in %s, by row and column',
    async (scheme) => {
      await expectFailure(
        () => encode('damaged.weight', scheme),
        'validation',
        'WEIGHT_NOT_FINITE',
        /damaged\.weight, row 3, column 17$/,
      );
    },
  );
});
