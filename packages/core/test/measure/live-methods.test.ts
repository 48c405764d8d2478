import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { decodeFloats, importanceWeights, MemorySource, readBytes, readGguf } from '@bitsmith/formats';
import { decodeRows, encodedByteLength, encodeRows } from '@bitsmith/ggml';
import { describe, expect, test } from 'vitest';
import { adoptCalibration } from '../../src/calibrate/calibrate.js';
import { nativeEngine } from '../../src/engine/session.js';
import { readImportance } from '../../src/io/read-importance.js';
import { activationScores } from '../../src/measure/methods/activation.js';
import type { Change, TensorChange, Variant } from '../../src/measure/live/change.js';
import { disableScores } from '../../src/measure/methods/disable.js';
import type { MethodInput } from '../../src/measure/methods/method.js';
import { noiseScores } from '../../src/measure/methods/noise.js';
import { rtnScores } from '../../src/measure/methods/rtn.js';
import type { Score } from '../../src/measure/methods/score.js';
import { upgradeScores } from '../../src/measure/methods/upgrade.js';
import { varianceScores } from '../../src/measure/methods/variance.js';
import { measureVariants } from '../../src/measure/live/variants.js';
import type { TrueLoss } from '../../src/measure/live/variants-task.js';
import { openModel } from '../../src/model/open.js';
import { encodableSchemes } from '../../src/plan/encodable-schemes.js';
import type { SchemeId } from '../../src/plan/schemes.js';
import { inRun } from '../../src/run/context.js';
import type { RunEvent, Work } from '../../src/run/events.js';
import { loadCorpus } from '../../src/text/corpus.js';
import { firstChunks, tokenizeTexts } from '../../src/text/tokenize.js';
import { golden, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const home = path.join(await temporaryFolder(), 'home');
const imatrix = path.join(golden, 'orator-8m.imatrix.gguf');
const key = 'blk.0.attn_k.weight';
const names = [key, 'blk.0.ffn_down.weight', 'blk.6.attn_v.weight', 'output.weight', 'token_embd.weight'];
const slow = /^IQ[12]/;

/** Runs a step of a measurement on a few tensors of the bundled model. */
async function measured<Result>(
  body: (input: MethodInput) => Work<Result>,
  { seed = 1, schemes, threads = 2 }: { seed?: number; schemes?: readonly SchemeId[]; threads?: number } = {},
): Promise<{ result: Result; events: readonly RunEvent[] }> {
  const work = inRun({ home, threads, seed }, async function* (run) {
    const model = yield* openModel(orator, { store: run.store });
    const calibration = yield* adoptCalibration(run, model, imatrix);
    const corpus = await loadCorpus();
    const [whole] = await tokenizeTexts(run, model, [corpus.search], 64);
    const wanted = names.map((name) => {
      const tensor = model.tensors.find((each) => each.name === name)!;
      const all = encodableSchemes(tensor.shape[0], tensor.type).filter((scheme) => !slow.test(scheme));
      return { tensor, schemes: schemes ?? all };
    });
    const text = firstChunks(whole, 8 * 64);
    return yield* body({
      run,
      model,
      calibration,
      text,
      gradientText: whole,
      samples: undefined,
      wanted,
      chosenSchemes: schemes !== undefined,
    });
  });
  return runJob(work);
}

const scheme = (tensor: string, name: SchemeId): TensorChange => ({
  tensor,
  change: { kind: 'scheme', scheme: name },
});

async function losses(variants: readonly Variant[], seed = 1): Promise<ReadonlyMap<string, TrueLoss>> {
  const { result } = await measured(
    ({ run, model, calibration, text }) => measureVariants(run, model, calibration, text, variants),
    { seed },
  );
  return result;
}

function valueOf(scores: readonly Score[], tensor: string, name: string | null): Score {
  const found = scores.filter((each) => each.tensor === tensor && each.scheme === name);
  expect(found).toHaveLength(1);
  return found[0];
}

describe('rtn', () => {
  test('is the true loss of each tensor in each scheme, about 2, 3 and 4 bits unless told', async () => {
    const { result } = await measured(rtnScores);
    expect(result).toHaveLength(3 * names.length);
    for (const name of names) {
      const found = result.filter(({ tensor }) => tensor === name);
      expect(found.map((each) => each.scheme)).toEqual(['Q2_K', 'Q3_K', 'Q4_K']);
      expect(found[0].value).toBeGreaterThan(found[1].value);
      expect(found[1].value).toBeGreaterThan(found[2].value);
    }
    const truth = await losses([{ id: 'one', changes: [scheme(key, 'Q3_K')] }]);
    const { klNats, standardError } = truth.get('one') as TrueLoss;
    expect(valueOf(result, key, 'Q3_K')).toEqual({
      tensor: key,
      scheme: 'Q3_K',
      method: 'rtn',
      value: klNats,
      unit: 'nats/token',
      standardError,
      evidence: 'measured',
    });
  });

  test('takes the schemes that are asked for, and measures none twice', async () => {
    const { result, events } = await measured(rtnScores, { schemes: ['Q3_K', 'Q2_K'] });
    expect(result).toHaveLength(2 * names.length);
    expect(events.at(-1)).toMatchObject({ type: 'stage-end', cached: true });
  });
});

describe('noise', () => {
  test('is quadratic in its size, and prices schemes by their relative errors', async () => {
    const sizes = [0.1, 0.2, 0.3];
    const runs = [];
    for (const size of sizes) runs.push((await measured((input) => noiseScores(input, size))).result);
    for (const name of names) {
      const [small, medium, large] = runs.map((scores) => valueOf(scores, name, 'Q4_0').value);
      // Alpha does not depend on the size but for what rounding activations anew costs, and the loss's next order.
      expect(Math.abs(small / medium - 1)).toBeLessThan(0.25);
      expect(Math.abs(large / medium - 1)).toBeLessThan(0.1);
    }
    const relative = (await measured(varianceScores)).result;
    const truth = (await measured(rtnScores)).result;
    for (const name of names) {
      const price = valueOf(runs[0], name, 'Q3_K');
      expect(price).toMatchObject({ unit: 'nats/token', evidence: 'estimated', method: 'noise' });
      expect(price.standardError).toBeGreaterThan(0);
      const ratio = price.value / valueOf(truth, name, 'Q3_K').value;
      expect(ratio).toBeGreaterThan(0.4);
      expect(ratio).toBeLessThan(2.5);
      expect(valueOf(relative, name, 'Q3_K').value).toBeGreaterThan(0.005);
    }
  });

  test('is that of its seed, for any number of threads', async () => {
    const change = (seed: number): Change => ({ kind: 'noise', relative: 0.1, seed });
    const variants = [1, 2].map((seed) => ({
      id: `${seed}`,
      changes: [{ tensor: key, change: change(seed) }],
    }));
    const truth = await losses(variants);
    const one = (await measured(noiseScores, { seed: 1 })).result;
    const two = (await measured(noiseScores, { seed: 2, threads: 1 })).result;
    const ratio = valueOf(one, key, 'Q4_0').value / valueOf(two, key, 'Q4_0').value;
    expect(ratio).toBeCloseTo((truth.get('1')?.klNats ?? 0) / (truth.get('2')?.klNats ?? 0), 10);
    expect(ratio).not.toBe(1);
  });
});

describe('disable', () => {
  test('is the loss without a block, one for all of its tensors and none outside', async () => {
    const { result } = await measured(disableScores);
    expect(result.map(({ tensor }) => tensor)).toEqual(names.slice(0, 3));
    const truth = await losses([
      {
        id: 'first',
        changes: ['attn_output', 'ffn_down'].map((part) => ({
          tensor: `blk.0.${part}.weight`,
          change: { kind: 'zero' },
        })),
      },
    ]);
    expect(valueOf(result, key, null).value).toBe(truth.get('first')?.klNats);
    expect(valueOf(result, names[1], null).value).toBe(truth.get('first')?.klNats);
    expect(valueOf(result, names[2], null).value).not.toBe(truth.get('first')?.klNats);
    expect(truth.get('first')?.klNats).toBeGreaterThan(0.5);
  });
});

describe('upgrade', () => {
  test('is what lifting a tensor out of the low model recovers', async () => {
    const { result } = await measured(upgradeScores);
    expect(result.map((each) => each.scheme)).toEqual(names.map(() => 'Q2_K'));
    const all = names.map((name) => scheme(name, 'Q2_K'));
    const truth = await losses([
      { id: 'low', changes: all },
      { id: 'lifted', changes: all.filter(({ tensor }) => tensor !== 'output.weight') },
    ]);
    const [low, lifted] = ['low', 'lifted'].map((id) => truth.get(id) as TrueLoss);
    const score = valueOf(result, 'output.weight', 'Q2_K');
    expect(score.value).toBe(low.klNats - lifted.klNats);
    expect(score.value).toBeGreaterThan(0);
    const recovered = low.sequenceKlNats.map((value, index) => value - lifted.sequenceKlNats[index]);
    const mean = recovered.reduce((sum, value) => sum + value, 0) / 8;
    const squares = recovered.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    expect(score.standardError).toBeCloseTo(Math.sqrt(squares / 56), 12);
  });
});

describe('errors of the weights', () => {
  /** A tensor that the sample holds whole: its squared error in Q4_0, with and without column weights. */
  async function byHand(columns: Float32Array | undefined) {
    const { result } = await measured(async function* ({ model, calibration }) {
      yield* [];
      return { file: model.ggufPath, importance: calibration.path };
    });
    const bytes = await readFile(result.file);
    const { tensors } = await readGguf(new MemorySource(bytes));
    const { offset, byteLength, shape } = tensors.find(({ name }) => name === key)!;
    const values = decodeFloats('BF16', await readBytes(new MemorySource(bytes), offset, byteLength));
    const [rowLength, rows] = shape;
    const engine = nativeEngine({ threads: 1, verbose: false });
    const encoded = new Uint8Array(encodedByteLength('Q4_0', rows, rowLength));
    await encodeRows(engine, { type: 'Q4_0', values, rows, rowLength, importance: columns }, encoded);
    const decoded = new Float32Array(values.length);
    await decodeRows(engine, { type: 'Q4_0', bytes: encoded, rows, rowLength }, decoded);
    const sum = (weight: (column: number) => number, of: (index: number) => number): number =>
      values.reduce((total, _, index) => total + weight(index % rowLength) * of(index) ** 2, 0);
    return {
      weighted: sum(
        (column) => columns?.[column] ?? 1,
        (index) => values[index] - decoded[index],
      ),
      squares: sum(
        () => 1,
        (index) => values[index],
      ),
    };
  }

  test('variance is relative, without data', async () => {
    const { result } = await measured(varianceScores);
    const { weighted, squares } = await byHand(undefined);
    const score = valueOf(result, key, 'Q4_0');
    expect(score).toMatchObject({ unit: 'relative', standardError: null, evidence: 'estimated' });
    expect(Math.abs(score.value / (weighted / squares) - 1)).toBeLessThan(1e-9);
  });

  test('activation is the error of the output, by the mean squares of the inputs', async () => {
    const { result } = await measured(activationScores);
    const entry = (await readImportance(imatrix)).entries.get(key)!;
    const { weighted } = await byHand(importanceWeights(entry));
    const score = valueOf(result, key, 'Q4_0');
    expect(score).toMatchObject({ unit: 'square', standardError: null, evidence: 'estimated' });
    expect(Math.abs(score.value / weighted - 1)).toBeLessThan(1e-9);
  });
});
