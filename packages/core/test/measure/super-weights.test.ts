import path from 'node:path';
import { decodeFloats, MemorySource, readBytes } from '@bitsmith/formats';
import { beforeAll, describe, expect, test } from 'vitest';
import { adoptCalibration, type Calibration } from '../../src/calibrate/calibrate.js';
import { readImportance } from '../../src/io/read-importance.js';
import { findSuperWeights, type SuperWeights } from '../../src/measure/super-weights/super-weights.js';
import { TopValues } from '../../src/measure/super-weights/top-values.js';
import { openModel } from '../../src/model/open.js';
import type { SourceModel } from '../../src/model/types.js';
import { inRun } from '../../src/run/context.js';
import { loadCorpus } from '../../src/text/corpus.js';
import { firstChunks, tokenizeTexts } from '../../src/text/tokenize.js';
import { type Damageable, damageable } from '../support/damage.js';
import { expectFailure } from '../support/errors.js';
import { golden, runJob } from '../support/jobs.js';
import { randomFrom } from '../support/random.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
const home = path.join(root, 'home');
const imatrix = path.join(golden, 'orator-8m.imatrix.gguf');
let sound: Damageable;

beforeAll(async () => {
  sound = await damageable(root, home);
}, 300_000);

/** What is found in a file, with what it was found from. */
async function found(file: string, coverage?: number, tokens = 256) {
  const work = inRun({ home, threads: 2 }, async function* (run) {
    const model: SourceModel = yield* openModel(file, { store: run.store });
    const calibration: Calibration = yield* adoptCalibration(run, model, imatrix);
    const corpus = await loadCorpus();
    const [text] = await tokenizeTexts(run, model, [corpus.search], 64);
    const measured = { run, model, calibration, text: firstChunks(text, 128) };
    const weights: SuperWeights = yield* findSuperWeights(measured, firstChunks(text, tokens), coverage);
    return { weights, calibration };
  });
  return (await runJob(work)).result;
}

/** Bits of the nearest BF16. */
const bfloat16 = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0] >>> 16;

/**
 * A super weight made on purpose: one input channel of the projection is made large by its gate and up rows, and one weight
 * hands it on.
 */
function planted(block: number, row: number, column: number): Promise<string> {
  return sound.damaged(`planted-${block}.gguf`, (bytes) => {
    for (const part of ['ffn_gate', 'ffn_up']) {
      for (let i = 0; i < 256; i++) {
        const at = sound.placeOf(`blk.${block}.${part}.weight`, column, i);
        const value = Float32Array.of(0);
        new Uint32Array(value.buffer)[0] = bytes.readUInt16LE(at) << 16;
        bytes.writeUInt16LE(bfloat16(value[0] * 8), at);
      }
    }
    bytes.writeUInt16LE(bfloat16(6), sound.placeOf(`blk.${block}.ffn_down.weight`, row, column));
  });
}

describe('by activation spikes', () => {
  test.each([
    [3, 77, 500],
    [5, 200, 11],
  ])('a weight planted in block %d, row %d, column %d', { timeout: 120_000 }, async (block, row, column) => {
    const { weights } = await found(await planted(block, row, column));
    expect(weights.missing).toBeNull();
    expect(weights.candidates).toHaveLength(8);
    const candidate = weights.candidates.find(({ tensor }) => tensor === `blk.${block}.ffn_down.weight`);
    expect(candidate).toMatchObject({ row, column, weight: 6, found: true });
    expect(candidate?.contribution).toBeGreaterThan(0.8);
    expect(candidate?.contribution).toBeLessThan(1.2);
    expect(candidate?.input).toMatchObject({
      sequence: candidate?.output.sequence,
      position: candidate?.output.position,
    });
    // Left out alone it costs more than all tensors in three bits.
    expect(candidate?.klNats).toBeGreaterThan(0.05);
    for (const other of weights.candidates) if (!other.found) expect(other.klNats).toBeNull();
  });

  test('activations that are not finite are named by block and position', { timeout: 120_000 }, async () => {
    const file = await sound.damaged('overflow.gguf', (bytes) => {
      for (const part of ['ffn_gate', 'ffn_up']) {
        for (let i = 0; i < 256; i++) {
          bytes.writeUInt16LE(bfloat16(1e20), sound.placeOf(`blk.2.${part}.weight`, 9, i));
        }
      }
    });
    await expectFailure(
      () => found(file),
      'analysis',
      'ACTIVATION_NOT_FINITE',
      /at the (input|output) of blk\.2\.ffn_down\.weight, position \d+ of sequence 0$/,
    );
  });
});

describe('by importance', () => {
  test('the first of all weights, as counted one by one', { timeout: 120_000 }, async () => {
    const { weights, calibration } = await found(path.join(root, 'sound.gguf'), 0.0001);
    const importance = await readImportance(calibration.path);
    const all: { tensor: string; row: number; column: number; value: number; importance: number }[] = [];
    let elements = 0;
    for (const { name: tensor, offset, byteLength, shape, type } of sound.header.tensors) {
      const entry = importance.entries.get(tensor);
      if (shape.length < 2 || tensor === 'token_embd.weight' || entry === undefined) continue;
      const bytes = await readBytes(new MemorySource(sound.bytes), offset, byteLength);
      const values = decodeFloats(type as 'BF16', bytes);
      const means = entry.inSum2.map((sum) => sum / Math.round(entry.counts[0]));
      elements += values.length;
      values.forEach((value, index) => {
        const column = index % shape[0];
        const each = value * value * means[column];
        if (each > 1)
          all.push({ tensor, row: Math.floor(index / shape[0]), column, value, importance: each });
      });
    }
    all.sort((a, b) => b.importance - a.importance);
    expect(weights.count).toBe(Math.ceil(elements * 0.0001));
    expect(all.length).toBeGreaterThan(weights.count);
    const expected = all.slice(0, weights.count);
    expect(weights.important).toHaveLength(weights.count);
    weights.important.forEach(({ importance: each, ...place }, index) => {
      const { importance: same, ...samePlace } = expected[index];
      expect(place).toEqual(samePlace);
      expect(Math.abs(each / same - 1)).toBeLessThan(1e-6);
    });
    const counts: Record<string, number> = {};
    for (const { tensor } of expected) counts[tensor] = (counts[tensor] ?? 0) + 1;
    expect(weights.counts).toEqual(counts);
  });

  test.each([0, -1, 0.02, Number.NaN])('a coverage of %d is refused', async (coverage) => {
    await expectFailure(
      () => found(path.join(root, 'sound.gguf'), coverage),
      'arguments',
      'COVERAGE_INVALID',
    );
  });
});

test('the largest values are those of a sorted list, with the earlier of equal ones', () => {
  const random = randomFrom(8);
  for (const capacity of [0, 1, 7, 100, 1000]) {
    const values = Array.from({ length: 500 }, () => Math.floor(random() * 200));
    const top = new TopValues(capacity);
    values.forEach((value, key) => top.offer(value, key));
    const sorted = values
      .map((value, key) => ({ value, key }))
      .sort((a, b) => b.value - a.value || a.key - b.key)
      .slice(0, capacity);
    expect(top.sorted()).toEqual(sorted);
  }
});
