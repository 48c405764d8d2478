import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { MemorySource, readGguf, type TensorType } from '@bitsmith/formats';
import { LlamaModel, WeightSlots } from '@bitsmith/ggml';
import { beforeAll, describe, expect, test } from 'vitest';
import { adoptCalibration, type Calibration } from '../../src/calibrate/calibrate.js';
import { ChunkRunner } from '../../src/engine/forward.js';
import { sharedEncodedCache } from '../../src/encode/encoded-cache.js';
import { roundingParameters } from '../../src/gram/statistics.js';
import { nativeEngine, openLlama } from '../../src/engine/session.js';
import { readImportance } from '../../src/io/read-importance.js';
import { quantize } from '../../src/jobs/quantize.js';
import { calibrationFor, prepareTexts, type TextOptions } from '../../src/jobs/texts.js';
import type { Change, TensorChange, Variant } from '../../src/measure/live/change.js';
import { LiveModel } from '../../src/measure/live/live-model.js';
import { changeSource } from '../../src/measure/live/changed-bytes.js';
import { LiveWeights } from '../../src/measure/live/live-weights.js';
import {
  type BaselineLimits,
  cutIntoGroups,
  cutIntoSpans,
  runVariants,
  type TrueLoss,
} from '../../src/measure/live/variants-task.js';
import { openModel } from '../../src/model/open.js';
import type { SourceModel } from '../../src/model/types.js';
import { WeightFiles } from '../../src/model/weight-files.js';
import { inRun } from '../../src/run/context.js';
import { loadCorpus } from '../../src/text/corpus.js';
import { expectFailure } from '../support/errors.js';
import { golden, goldenPlan, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';
import type { RoundingParameters } from '../../src/gram/rounding.js';

const home = await temporaryFolder();
const imatrix = path.join(golden, 'orator-8m.imatrix.gguf');
const settings = { threads: 2, verbose: false };
const contextTokens = 16;
/** Chunks in one batch at this context; the vocabulary of 4,096 allows more. */
const batchChunks = 2048 / contextTokens;
const down = 'blk.0.ffn_down.weight';
const query = 'blk.5.attn_q.weight';

let model: SourceModel;
let calibration: Calibration;

beforeAll(async () => {
  const work = inRun({ home, threads: 1 }, async function* (run) {
    const opened = yield* openModel(orator, { store: run.store });
    return { opened, adopted: yield* adoptCalibration(run, opened, imatrix) };
  });
  const { opened, adopted } = (await runJob(work)).result;
  model = opened;
  calibration = adopted;
}, 300_000);

/** Any tokens do: a measurement compares a model with itself. */
function chunksOf(count: number, seed: number): Int32Array[] {
  return Array.from({ length: count }, (_, chunk) =>
    Int32Array.from(
      { length: contextTokens },
      (__, position) => (seed + chunk * 7919 + position * 104_729) % 4096,
    ),
  );
}

const scheme = (tensor: string, name: 'Q3_K' | 'Q2_K' | 'Q4_K'): TensorChange => ({
  tensor,
  change: { kind: 'scheme', scheme: name },
});
const changed = (tensor: string, change: Change): TensorChange => ({ tensor, change });

function parametersOf(
  variants: readonly Variant[],
  chunks: readonly Int32Array[],
  rounding: RoundingParameters | null = null,
) {
  return {
    ggufPath: model.ggufPath,
    files: model.files.map((file) => file.path),
    importancePath: calibration.path,
    rounding,
    contextTokens,
    chunks,
    variants,
  };
}

async function losses(
  variants: readonly Variant[],
  chunks: readonly Int32Array[],
  limits?: BaselineLimits,
  threads = settings.threads,
  rounding: RoundingParameters | null = null,
  encodedCacheBytes = 0,
): Promise<Map<string, TrueLoss>> {
  const found = new Map<string, TrueLoss>();
  await runVariants(
    { ...parametersOf(variants, chunks, rounding), encodedCacheBytes },
    ({ id, ...loss }) => found.set(id, loss),
    { ...settings, threads },
    limits,
  );
  expect([...found.keys()]).toEqual(variants.map(({ id }) => id));
  return found;
}

/** Bits of the logits of a model as it is now. */
function logitBits(llama: LlamaModel, chunks: readonly Int32Array[]): Uint32Array {
  const runner = ChunkRunner.create(llama, { contextTokens, chunks: chunks.length, threads: 2 });
  try {
    const logits = runner.run(chunks, 0);
    return new Uint32Array(logits.buffer, logits.byteOffset, logits.length).slice();
  } finally {
    runner.dispose();
  }
}

const variants: readonly Variant[] = [
  { id: 'one', changes: [scheme(down, 'Q3_K')] },
  { id: 'two', changes: [scheme(query, 'Q2_K'), scheme(down, 'Q3_K')] },
  { id: 'nothing', changes: [] },
  { id: 'noise', changes: [changed(down, { kind: 'noise', relative: 0.05, seed: 1 })] },
  { id: 'other scheme', changes: [scheme(down, 'Q4_K'), changed(query, { kind: 'zero' })] },
];

describe('the live model', () => {
  test('comes back bit for bit after every change', async () => {
    const chunks = chunksOf(4, 3);
    const llama = await openLlama(model.ggufPath, settings, 'cpu');
    const untouched = logitBits(llama, chunks);
    await losses(variants, chunks);
    expect(logitBits(llama, chunks)).toEqual(untouched);
    const slots = WeightSlots.discover(llama);
    expect(slots.names.filter((name) => slots.describe(name).replacedBy !== null)).toEqual([]);
  });

  test('comes back after work that fails in the middle, too', async () => {
    const chunks = chunksOf(2, 3);
    const llama = await openLlama(model.ggufPath, settings, 'cpu');
    const untouched = logitBits(llama, chunks);
    const fail = (): never => {
      throw new Error('stopped');
    };
    await expect(runVariants(parametersOf(variants, chunks), fail, settings)).rejects.toThrow('stopped');
    expect(logitBits(llama, chunks)).toEqual(untouched);
  });

  test('refuses a tensor that it does not compute with before anything is measured', async () => {
    const norm = { id: 'norm', changes: [changed('blk.0.attn_norm.weight', { kind: 'zero' })] };
    await expectFailure(
      () => losses([...variants, norm], chunksOf(2, 3)),
      'validation',
      'WEIGHT_UNKNOWN',
      /blk\.0\.attn_norm/,
    );
  });

  test('names the changes that its predictions do not survive, and comes back from them', async () => {
    const chunks = chunksOf(3, 3);
    const llama = await openLlama(model.ggufPath, settings, 'cpu');
    const untouched = logitBits(llama, chunks);
    const wild = {
      id: 'wild',
      changes: [changed('output.weight', { kind: 'noise', relative: 1e38, seed: 1 })],
    };
    await expectFailure(
      () => losses([...variants, wild], chunks),
      'analysis',
      'LOGITS_NOT_FINITE',
      /with output\.weight under noise of 1e\+38 times .*, found NaN or infinity in sequence 0$/,
    );
    expect(logitBits(llama, chunks)).toEqual(untouched);
  });

  test('names the token whose predictions are not finite from the start', async () => {
    const bytes = await readFile(model.ggufPath);
    const { tensors } = await readGguf(new MemorySource(bytes));
    const head = tensors.find(({ name }) => name === 'output.weight')!;
    for (let i = 0; i < 256; i++) bytes.writeUInt16LE(0x7f7f, head.offset + 2 * (4001 * 256 + i));
    const broken = path.join(home, 'broken.gguf');
    await writeFile(broken, bytes);
    const parameters = { ...parametersOf(variants, chunksOf(3, 3)), ggufPath: broken, files: [broken] };
    await expectFailure(
      () => runVariants(parameters, () => undefined, settings),
      'analysis',
      'LOGITS_NOT_FINITE',
      /of the unchanged model, found NaN or infinity after position \d+ \(token \d+\) of sequence \d$/,
    );
  });

  test('measures each variant as if it were alone, in any order', async () => {
    const chunks = chunksOf(6, 3);
    const together = await losses(variants, chunks);
    for (const variant of variants) {
      expect((await losses([variant], chunks)).get(variant.id)).toEqual(together.get(variant.id));
    }
    const backwards = await losses(variants.toReversed(), chunks);
    for (const [id, loss] of together) expect(backwards.get(id)).toEqual(loss);
    expect(together.get('nothing')?.klNats).toBeLessThan(1e-7);
    expect(together.get('one')?.klNats).toBeGreaterThan(1e-5);
    expect(together.get('two')?.klNats).toBeGreaterThan(together.get('one')?.klNats ?? Infinity);
  });

  test('measures the same on one thread and on two', async () => {
    const chunks = chunksOf(6, 3);
    expect(await losses(variants, chunks, undefined, 1)).toEqual(await losses(variants, chunks));
  });

  test('a sequence has a mean of its own, and the text the mean of all', async () => {
    const loss = (await losses(variants.slice(0, 1), chunksOf(6, 3))).get('one') as TrueLoss;
    expect(loss.sequenceKlNats).toHaveLength(6);
    const mean = loss.sequenceKlNats.reduce((sum, each) => sum + each, 0) / 6;
    expect(Math.abs(mean / loss.klNats - 1)).toBeLessThan(1e-12);
    const squares = loss.sequenceKlNats.reduce((sum, each) => sum + (each - mean) ** 2, 0);
    expect(Math.abs(Math.sqrt(squares / 30) / loss.standardError - 1)).toBeLessThan(1e-12);
  });
});

describe('a text of several batches', () => {
  const first = chunksOf(batchChunks, 1);
  const second = chunksOf(4, 5);
  const some = variants.slice(0, 3);
  let whole: Map<string, TrueLoss>;

  beforeAll(async () => {
    whole = await losses(some, [...first, ...second]);
  }, 120_000);

  test('has the losses of its parts', async () => {
    const parts = [await losses(some, first), await losses(some, second)];
    for (const { id } of some) {
      const expected = parts.flatMap((part) => part.get(id)?.sequenceKlNats ?? []);
      const found = whole.get(id)?.sequenceKlNats ?? [];
      expect(found).toHaveLength(expected.length);
      // The second part is split in other halves when it is alone, so that sums are rounded otherwise.
      found.forEach((value, index) => expect(Math.abs(value - expected[index])).toBeLessThan(1e-6));
    }
  }, 120_000);

  test('has the same losses when baselines are kept a batch at a time', async () => {
    const limits = { baselineBytes: 1, groupVariants: 2 };
    expect(await losses(some, [...first, ...second], limits)).toEqual(whole);
  }, 120_000);
});

/** Of a hundred thousand logits that differ, nobody wants the list. */
function sameBits(a: Uint32Array, b: Uint32Array): boolean {
  return Buffer.compare(Buffer.from(a.buffer), Buffer.from(b.buffer)) === 0;
}

/** Of encoded tensors, which take seconds. */
const KEPT_BYTES = 2 ** 27;

/** Little text: what codes are chosen by only has to be the same. */
const smallTexts = { contextTokens: 32, calibrationTokens: 512 } as const;

/** What a job with these options chooses codes by, from its store. */
async function roundingOf(options: TextOptions): Promise<RoundingParameters | null> {
  const work = inRun({ home, threads: 2 }, async function* (run) {
    const opened = yield* openModel(orator, { store: run.store });
    const texts = await prepareTexts(run, opened, await loadCorpus(), options);
    const { rounding } = yield* calibrationFor(run, opened, texts, options);
    return roundingParameters(opened, rounding);
  });
  return (await runJob(work)).result;
}

describe('all tensors replaced', () => {
  test('is the written file, bit for bit', { timeout: 300_000 }, async () => {
    const plan = await goldenPlan('mixed-plan.yaml', home);
    const output = path.join(home, 'written.gguf');
    const job = { importanceMatrix: imatrix, encoder: 'feedback', ...smallTexts } as const;
    const { result } = await runJob(
      quantize({ ...job, model: orator, planFile: plan, output, home, verify: false }),
    );
    const rounding = await roundingOf(job);
    const changes = result.plan.tensors.map(({ tensor, scheme: name }) =>
      changed(tensor, { kind: 'scheme', scheme: name as TensorType }),
    );
    const slots = WeightSlots.discover(await openLlama(model.ggufPath, settings, 'cpu'));
    const all: Variant = { id: 'all', changes: changes.filter(({ tensor }) => slots.has(tensor)) };
    expect(all.changes.length).toBeGreaterThanOrEqual(57);

    const chunks = chunksOf(8, 3);
    const llama = await openLlama(model.ggufPath, settings, 'cpu');
    const file = await LlamaModel.open(nativeEngine(settings), output);
    const files = await WeightFiles.open(model.files.map((each) => each.path));
    const importance = await readImportance(calibration.path);
    const encoded = sharedEncodedCache(parametersOf([], [], rounding), KEPT_BYTES);
    const weights = new LiveWeights(slots, changeSource(files, importance, settings, encoded, rounding));
    const source = LiveModel.create(llama, contextTokens, chunks.length, 2);
    const written = LiveModel.create(file, contextTokens, chunks.length, 2);
    try {
      const untouched = logitBits(llama, chunks);
      await weights.set(all.changes);
      expect(sameBits(logitBits(llama, chunks), logitBits(file, chunks))).toBe(true);
      weights.restoreAll();
      expect(sameBits(logitBits(llama, chunks), untouched)).toBe(true);

      const [batch] = source.batches(chunks);
      const { klNats: positions, nllIncreaseNats } = await written.losses(await source.baselines(batch));
      const again = await losses([all], chunks, undefined, settings.threads, rounding, KEPT_BYTES);
      const loss = again.get('all');
      const mean = positions.reduce((sum, each) => sum + each, 0) / positions.length;
      expect(loss?.klNats).toBe(mean);
      expect(mean).toBeGreaterThan(0.01);
      // The last position of a sequence has no token that follows.
      const followed = nllIncreaseNats.filter((value) => !Number.isNaN(value));
      expect(followed).toHaveLength(positions.length - chunks.length);
      expect(loss?.nllIncreaseNats).toBe(followed.reduce((sum, each) => sum + each, 0) / followed.length);
      const plain = nllOf(file, chunks) - nllOf(llama, chunks);
      expect(Math.abs((loss?.nllIncreaseNats ?? 0) - plain)).toBeLessThan(1e-6);
    } finally {
      source.dispose();
      written.dispose();
      file.dispose();
      await files.close();
    }
  });
});

/** Mean of -ln p(token that follows) behind the first eighth of every chunk, plainly. */
function nllOf(llama: LlamaModel, chunks: readonly Int32Array[]): number {
  const vocabulary = llama.vocabulary.size;
  const first = contextTokens / 8;
  const runner = ChunkRunner.create(llama, { contextTokens, threads: 1, chunks: chunks.length });
  try {
    const logits = runner.run(chunks, first);
    const rows = contextTokens - first;
    let sum = 0;
    for (const [index, chunk] of chunks.entries()) {
      for (let position = first; position + 1 < contextTokens; position++) {
        const start = (index * rows + position - first) * vocabulary;
        const row = logits.subarray(start, start + vocabulary);
        const most = Math.max(...row);
        sum +=
          most + Math.log(row.reduce((total, z) => total + Math.exp(z - most), 0)) - row[chunk[position + 1]];
      }
    }
    return sum / (chunks.length * (rows - 1));
  } finally {
    runner.dispose();
  }
}

describe('what is kept at once', () => {
  test.each([
    [40, 1, [40]],
    [40, 2, [16, 16, 8]],
    [3, 2, [3]],
    [0, 1, []],
  ])('%i variants over %i spans share baselines in groups of %j', (count, spans, sizes) => {
    const items = Array.from({ length: count }, (_, index) => index);
    const groups = cutIntoGroups(items, spans, 16);
    expect(groups.map((group) => group.length)).toEqual(sizes);
    expect(groups.flat()).toEqual(items);
  });

  test.each([
    [5, 10, [1, 1, 1]],
    [20, 10, [2, 1]],
    [30, 10, [3]],
    [1000, 10, [3]],
  ])('room for %i and batches of %i make spans of %j', (limit, bytes, sizes) => {
    const batches = [0, 1, 2].map((firstChunk) => ({ firstChunk, chunks: [] }));
    const spans = cutIntoSpans(batches, () => bytes, limit);
    expect(spans.map((span) => span.length)).toEqual(sizes);
    expect(spans.flat()).toEqual(batches);
  });
});
