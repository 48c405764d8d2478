import path from 'node:path';
import { loadEngine } from '@bitsmith/ggml';
import { expect, test } from 'vitest';
import { GramSum } from '../../src/gram/gram.js';
import { GramPass } from '../../src/gram/gram-pass.js';
import { InputPass } from '../../src/transformer/input-pass.js';
import type { Sequence } from '../../src/transformer/blocks.js';
import { openWithin, type PassMemory } from '../../src/transformer/pass-within.js';
import { expectFailure } from '../support/errors.js';
import { gaussian, randomFrom } from '../support/random.js';
import { temporaryFolder } from '../support/temporary.js';
import { openGramPass, openPass, tinyPassSettings } from '../support/tiny-pass.js';
import {
  type TinyFamily,
  tinyFamilies,
  tinyTokens,
  writeTinyTransformer,
} from '../support/tiny-transformer.js';
import { wholeOf } from '../support/triangle.js';

const engine = loadEngine({ threads: 2 });
const folder = await temporaryFolder();
const POSITIONS = 12;
/** Later than every block's attention reaches: only what the last position makes of its inputs has a gradient. */
const LAST_SCORED = POSITIONS - 1;

async function modelOf(family: TinyFamily): Promise<string> {
  const file = path.join(folder, `${Object.keys(tinyFamilies).indexOf(family)}.gguf`);
  await writeTinyTransformer(file, tinyFamilies[family], 9);
  return file;
}

function sequencesOf(family: TinyFamily, count: number): Sequence[] {
  const { vocabulary } = tinyFamilies[family];
  return Array.from({ length: count }, (_, index) => ({
    index,
    tokens: tinyTokens(POSITIONS, vocabulary, index),
  }));
}

/** By block and part; `null:` for the ends. */
async function gramsOf(
  file: string,
  sequences: readonly Sequence[],
  wanted: { lanes?: number; firstScored?: number; scratchPath?: string } = {},
): Promise<ReadonlyMap<string, Float32Array>> {
  const kept = new Map<string, Float32Array>();
  await using opened = await openGramPass(engine, file, { positions: POSITIONS, ...wanted });
  await opened.pass.run(sequences, async (block, grams) => {
    for (const [part, gram] of grams) kept.set(`${block}:${part}`, wholeOf(gram));
  });
  return kept;
}

function expectNear(found: Float32Array, expected: Float64Array): void {
  expect(found).toHaveLength(expected.length);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  expect(largest).toBeGreaterThan(0);
  const worst = found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
  expect(worst / largest).toBeLessThan(1e-4);
}

function outerProduct(x: Float32Array): Float64Array {
  const product = new Float64Array(x.length ** 2);
  for (let i = 0; i < x.length; i++)
    for (let j = 0; j < x.length; j++) product[i * x.length + j] = x[i] * x[j];
  return product;
}

test("where one position alone has a gradient, matrices are its inputs' outer products", async () => {
  const family = 'llama with biases, stretched';
  const file = await modelOf(family);
  const sequences = sequencesOf(family, 1);
  const inputs = new Map<string, Float32Array>();
  await using opened = await tinyPassSettings(engine, file, { positions: POSITIONS });
  const { settings } = opened;
  const pass = await InputPass.open(settings);
  await pass.run(sequences, {
    read: (tensor, _, values) => inputs.set(tensor, values.slice()),
    done: async () => {},
  });
  pass.dispose();
  const grams = await gramsOf(file, sequences, { firstScored: LAST_SCORED });
  const last = settings.model.blocks.length - 1;
  // Behind the last attention nothing goes from one position to another.
  const parts = [`${last}:attn_output`, `${last}:ffn_up`, `${last}:ffn_down`, 'null:output.weight'];
  for (const part of parts) {
    const tensor = part.startsWith('null:') ? part.slice(5) : `blk.${part.replace(':', '.')}.weight`;
    const values = inputs.get(tensor) as Float32Array;
    const width = values.length / POSITIONS;
    const x = values.subarray(LAST_SCORED * width);
    expectNear(grams.get(part) as Float32Array, outerProduct(x));
  }
});

test("the embedding's diagonal is the mean square of its rows' gradients, where no token comes twice", async () => {
  const family = 'llama with biases, stretched';
  const file = await modelOf(family);
  const sequence = { index: 3, tokens: Int32Array.from({ length: POSITIONS }, (_, at) => at + 7) };
  await using opened = await openPass(engine, file, { positions: POSITIONS });
  const [{ squared }] = await opened.pass.run([sequence]);
  const { columns } = squared.get('token_embd.weight') as { columns: Float32Array };
  const gram = (await gramsOf(file, [sequence])).get('null:token_embd.weight') as Float32Array;
  const diagonal = Float32Array.from(columns, (_, i) => gram[i * (columns.length + 1)]);
  expectNear(
    diagonal,
    Float64Array.from(columns, (value) => value / POSITIONS),
  );
});

test('sums of several bands are whole: places that are not filled count as nothing', async () => {
  const [width, positions] = [300, 6];
  const random = randomFrom(5);
  const sum = new GramSum(engine, width, 2 * positions);
  const expected = new Float64Array(width * width);
  let total = 0;
  for (const places of [2, 1]) {
    for (let at = 0; at < places; at++) {
      const input = Float32Array.from({ length: width * positions }, () => gaussian(random));
      const weights = Float32Array.from({ length: positions }, () => random());
      sum.place(input, weights, at);
      weights.forEach((weight, position) => {
        total += weight;
        const x = input.subarray(position * width, (position + 1) * width);
        outerProduct(x).forEach((product, i) => (expected[i] += weight * product));
      });
    }
    sum.close();
    for (const band of sum.bands) await band.add();
    sum.open();
  }
  expectNear(
    wholeOf(sum.take()),
    expected.map((value) => value / total),
  );
  expect(wholeOf(sum.take()).every((value) => value === 0)).toBe(true);
});

test('the same bits on any lanes, with streams in memory or on disk', async () => {
  const family = 'llama, tied, with frequencies of its own';
  const file = await modelOf(family);
  const sequences = sequencesOf(family, 5);
  const grams = await gramsOf(file, sequences);
  expect([...grams.values()].every((gram) => gram.every(Number.isFinite))).toBe(true);
  expect(await gramsOf(file, sequences, { lanes: 3, scratchPath: path.join(folder, 'streams') })).toEqual(
    grams,
  );
});

test('a limit of memory is met by streams on disk and by fewer lanes, else refused', async () => {
  const family = 'llama with biases, stretched';
  const file = await modelOf(family);
  await using opened = await tinyPassSettings(engine, file, { positions: POSITIONS });
  const { settings } = opened;
  const found: PassMemory[] = [];
  const streamBytes = 2 ** 20;
  const within = async (memoryBytes: number | null, keptBytes?: number): Promise<PassMemory | undefined> => {
    const room = { threads: 3, memoryBytes, sequences: 5, streamBytes, keptBytes, otherwise: 'nothing.' };
    const pass = await openWithin(
      (lanes) => GramPass.open({ ...settings, lanes }),
      { ...room, scratchPath: path.join(folder, 'scratch') },
      (memory) => found.push(memory),
    );
    pass.dispose();
    return found.at(-1);
  };
  const roomy = (await within(null)) as PassMemory;
  expect(roomy).toMatchObject({ onDisk: false, lanes: 3 });
  expect(await within(null, streamBytes - 1)).toMatchObject({ onDisk: true, lanes: 3 });
  const onDisk = (await within(roomy.predictedBytes - 1)) as PassMemory;
  expect(onDisk).toMatchObject({ onDisk: true, lanes: 3 });
  expect(roomy.predictedBytes - onDisk.predictedBytes).toBe(streamBytes);
  const oneLane = (await within(onDisk.predictedBytes - streamBytes / 2)) as PassMemory;
  expect(oneLane.lanes).toBe(1);
  await expectFailure(() => within(1e6), 'resources', 'MEMORY_LIMIT', /room for one block/);
});

test('nothing labelled, nothing known: zeros, no numbers from nowhere', async () => {
  const family = 'phi3';
  const grams = await gramsOf(await modelOf(family), sequencesOf(family, 1), { firstScored: POSITIONS });
  expect([...grams.values()].every((gram) => gram.every((value) => value === 0))).toBe(true);
});
