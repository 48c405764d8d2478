/**
 * @file Encoders against their papers' algorithms in PyTorch: learned rounding of a block against SignRound, from the same codes on, with
 * gradients by autograd in double precision there; error feedback against GPTQ, which goes by the inverse Gram matrix.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import {
  type AffineSpec,
  encodeAffine,
  type ImportanceMatrix,
  layoutSafetensors,
  MemorySink,
  MemorySource,
  openAffine,
  type OpenAffine,
  readSafetensors,
  type SafetensorsDtype,
  writeSafetensors,
} from '@bitsmith/formats';
import { alignedFloats, loadEngine } from '@bitsmith/ggml';
import { afterAll, describe, expect, test } from 'vitest';
import { factorGram } from '../../packages/core/src/encode/feedback/gram-factor.js';
import { roundRows } from '../../packages/core/src/encode/feedback/round-rows.js';
import { Rounder } from '../../packages/core/src/encode/feedback/rounder.js';
import { AffineGrid } from '../../packages/core/src/encode/learned/affine-grid.js';
import type { BlockLearned } from '../../packages/core/src/encode/learned/learn-block.js';
import { RANGE_CODES } from '../../packages/core/src/encode/learned/learned-matrix.js';
import { LearnedPass } from '../../packages/core/src/encode/learned/learned-pass.js';
import { type LearnedOptions, learnedSettings } from '../../packages/core/src/encode/learned/options.js';
import { affineOf } from '../../packages/core/src/encode/learned/stored-parts.js';
import { EmbeddingRows } from '../../packages/core/src/transformer/embedding.js';
import { loadVector, loadWeights, weightArray } from '../../packages/core/src/transformer/weights.js';
import { affineSpec } from '../../packages/core/src/plan/affine-schemes.js';
import { gaussian, randomFrom } from '../../packages/core/test/support/random.js';
import { triangleOf } from '../../packages/core/test/support/triangle.js';
import { tinyPassSettings } from '../../packages/core/test/support/tiny-pass.js';
import {
  tinyFamilies,
  tinyTokens,
  writeTinyTransformer,
} from '../../packages/core/test/support/tiny-transformer.js';
import { places } from './workspace.mjs';

const engine = loadEngine({ threads: 2 });
const folder = await mkdtemp(path.join(os.tmpdir(), 'bitsmith-interop-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

const POSITIONS = 48;
const SEQUENCES = 16;
/** Fewer than channels: these then move together, and much is to be gained. */
const DISTINCT_TOKENS = 12;
const shape = { ...tinyFamilies.llama, blocks: 1 };
const matrices = ['attn_q', 'attn_k', 'attn_v', 'attn_output', 'ffn_gate', 'ffn_up', 'ffn_down'];

interface Named {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly values: ArrayBufferView;
}

async function writeTensors(file: string, tensors: readonly Named[]): Promise<void> {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor.values]));
  const sink = new MemorySink();
  await writeSafetensors(sink, layoutSafetensors({ tensors }), async ({ name }, _, target) => {
    const { buffer, byteOffset, byteLength } = byName.get(name) as ArrayBufferView;
    await target.write(new Uint8Array(buffer, byteOffset, byteLength));
  });
  await writeFile(file, sink.toBytes());
}

async function readTensors(file: string): Promise<(name: string) => ArrayBuffer> {
  const bytes = new Uint8Array(await readFile(file));
  const { tensors } = await readSafetensors(new MemorySource(bytes));
  return (name) => {
    const { offset, byteLength } = tensors.find((tensor) => tensor.name === name) as (typeof tensors)[number];
    return bytes.slice(offset, offset + byteLength).buffer;
  };
}

interface Outcome {
  /** By matrix. */
  readonly starts: ReadonlyMap<string, OpenAffine>;
  readonly ours: { readonly learned: BlockLearned; readonly tensors: ReadonlyMap<string, OpenAffine> };
  readonly theirs: { readonly learned: BlockLearned; readonly tensors: ReadonlyMap<string, OpenAffine> };
}

async function learnBoth(scheme: 'affine4-g16' | 'affine2-g16', options: LearnedOptions): Promise<Outcome> {
  const spec = affineSpec(scheme) as AffineSpec;
  const settings = learnedSettings({ ...options, samples: SEQUENCES, batch: 6 });
  const file = path.join(folder, 'tiny.gguf');
  await writeTinyTransformer(file, shape);
  await using opened = await tinyPassSettings(engine, file, { positions: POSITIONS });
  const { files, model } = opened.settings;
  const tokens = Array.from({ length: SEQUENCES }, (_, index) =>
    tinyTokens(POSITIONS, DISTINCT_TOKENS, index),
  );
  const full = (part: string): string => `blk.0.${part}.weight`;
  const partOf = (name: string): string => name.split('.')[2];

  const starts = new Map<string, AffineGrid>();
  const sent: Named[] = [];
  for (const part of matrices) {
    const { rows, rowLength, ...tensor } = files.tensor(full(part));
    const array = weightArray(rowLength, rows, false);
    await loadWeights(engine, files, { ...tensor, rows, rowLength }, array, 1);
    const grid = new AffineGrid(encodeAffine({ values: array.values, rows, rowLength }, spec));
    starts.set(part, grid);
    const { scales, zeros } = openAffine(grid.tensor());
    sent.push(
      { name: part, dtype: 'F32', shape: [rows, rowLength], values: array.values },
      { name: `${part}.scales`, dtype: 'F32', shape: [scales.length], values: scales },
      { name: `${part}.zeros`, dtype: 'U8', shape: [zeros.length], values: zeros },
    );
  }
  for (const part of ['attn_norm', 'ffn_norm']) {
    const values = await loadVector(engine, files, full(part));
    sent.push({ name: part, dtype: 'F32', shape: [values.length], values });
  }
  const embedding = new EmbeddingRows(opened.settings);
  const streams = new Float32Array(SEQUENCES * POSITIONS * model.width);
  for (const [at, sequence] of tokens.entries())
    streams.set(await embedding.look(sequence), at * POSITIONS * model.width);
  sent.push({ name: 'streams', dtype: 'F32', shape: [SEQUENCES, POSITIONS, model.width], values: streams });

  const [question, tensors, out] = ['question.json', 'tensors.safetensors', 'out.safetensors'].map((name) =>
    path.join(folder, name),
  );
  await writeTensors(tensors, sent);
  await writeFile(
    question,
    JSON.stringify({
      bits: spec.bits,
      groupSize: spec.groupSize,
      steps: settings.steps,
      batch: settings.batch,
      rate: settings.rate,
      rangeCodes: RANGE_CODES,
      headSize: model.headSize,
      epsilon: model.epsilon,
      ropeBase: model.blocks[0].rope.base,
    }),
  );
  const script = path.join(places.suite, 'python', 'encoders.py');
  const named = ['--question', question, '--tensors', tensors, '--out', out];
  execFileSync(places.python, [script, 'signround', ...named], { stdio: 'inherit' });
  const answer = await readTensors(out);

  let learned: BlockLearned | null = null;
  const found = new Map<string, OpenAffine>();
  const nothing: ImportanceMatrix = {
    datasets: [],
    chunkCount: 1,
    chunkSize: 1,
    entries: new Map(),
    extra: new Map(),
  };
  const pass = await LearnedPass.open({
    ...opened.settings,
    importance: nothing,
    schemes: new Map(matrices.map((part) => [full(part), scheme])),
    learned: settings,
    rounder: new Rounder(engine, null),
    startOf: async (name) => (starts.get(partOf(name)) as AffineGrid).parts(),
  });
  try {
    await pass.run(tokens, {
      known: async () => null,
      take: async (_, parts, result) => {
        learned = result;
        for (const [name, each] of parts) {
          const { rows, rowLength } = files.tensor(name);
          found.set(partOf(name), openAffine(affineOf(each, spec, rows, rowLength)));
        }
      },
    });
  } finally {
    pass.dispose();
  }

  const [startError, error] = new Float64Array(answer('errors'));
  const [keptStep] = new Int32Array(answer('kept'));
  const reference = matrices.map((part): [string, OpenAffine] => [
    part,
    {
      codes: new Uint8Array(answer(`${part}.codes`)),
      scales: new Float32Array(answer(`${part}.scales`)),
      zeros: new Uint8Array(answer(`${part}.zeros`)),
    },
  ]);
  return {
    starts: new Map([...starts].map(([part, grid]) => [part, openAffine(grid.tensor())])),
    ours: { learned: learned as unknown as BlockLearned, tensors: found },
    theirs: { learned: { startError, error, keptStep }, tensors: new Map(reference) },
  };
}

describe.each(['affine4-g16', 'affine2-g16'] as const)('%s', { timeout: 120_000 }, (scheme) => {
  test('the same codes, scales and zero points after some small steps', async () => {
    const { starts, ours, theirs } = await learnBoth(scheme, { steps: 8, rate: 1 / 100 });
    expect(ours.learned.keptStep).toBe(theirs.learned.keptStep);
    expect(ours.learned.keptStep).toBeGreaterThan(0);
    expect(ours.learned.startError / theirs.learned.startError).toBeCloseTo(1, 4);
    expect(ours.learned.error / theirs.learned.error).toBeCloseTo(1, 3);
    for (const part of matrices) {
      const [start, mine, reference] = [starts, ours.tensors, theirs.tensors].map(
        (tensors) => tensors.get(part) as OpenAffine,
      );
      expect(shareEqual(start.codes, reference.codes), part).toBeLessThan(0.99);
      expect(shareEqual(mine.codes, reference.codes), part).toBeGreaterThan(0.998);
      expect(shareEqual(mine.scales, reference.scales), part).toBeGreaterThan(0.95);
      expect(shareEqual(mine.zeros, reference.zeros), part).toBeGreaterThan(0.95);
    }
  });

  test('the same error after many: signs of gradients near nothing take the codes apart', async () => {
    const { ours, theirs } = await learnBoth(scheme, { steps: 48 });
    expect(ours.learned.error).toBeLessThan(0.99 * ours.learned.startError);
    expect(theirs.learned.error).toBeLessThan(0.99 * theirs.learned.startError);
    expect(Math.abs(Math.log(ours.learned.error / theirs.learned.error))).toBeLessThan(0.1);
  });
});

/** Weights, and the Gram matrix of inputs that move together. */
function correlated(rows: number, width: number): { weight: Float32Array; gram: Float32Array } {
  const random = randomFrom(11);
  const weight = Float32Array.from({ length: rows * width }, () => gaussian(random));
  const factors = Array.from({ length: width / 4 }, () =>
    Float64Array.from({ length: width }, () => gaussian(random) / 4),
  );
  const gram = alignedFloats(width * width);
  for (let i = 0; i < width; i++)
    for (let j = 0; j < width; j++)
      gram[i * width + j] = factors.reduce((sum, of) => sum + of[i] * of[j], i === j ? 1 : 0);
  return { weight, gram };
}

test.each(['affine4-g64', 'affine2-g32'] as const)('GPTQ: the same codes in %s', async (scheme) => {
  const spec = affineSpec(scheme) as AffineSpec;
  // More than one span, so that errors are pushed on.
  const [rows, width] = [16, 384];
  const { weight, gram } = correlated(rows, width);
  const factor = await factorGram(engine, triangleOf(gram), 'weight', 0);
  const check = triangleOf(gram);
  const request = {
    scheme,
    values: weight,
    rows,
    rowLength: width,
    importance: new Float32Array(width).fill(1),
  };
  const rounding = { feedback: true, refit: false };
  const found = await roundRows(engine, request, { factor, check, rounding });
  const { codes, scales, zeros } = found.affine as OpenAffine;
  const order = Int32Array.from(
    factor.spans.flatMap(({ first, metric }) => [...metric.order].map((at) => first + at)),
  );
  const [question, tensors, out] = ['gptq.json', 'gptq.safetensors', 'gptq-out.safetensors'].map((name) =>
    path.join(folder, name),
  );
  await writeFile(question, JSON.stringify({ bits: spec.bits, groupSize: spec.groupSize }));
  await writeTensors(tensors, [
    { name: 'weight', dtype: 'F32', shape: [rows, width], values: weight },
    { name: 'gram', dtype: 'F32', shape: [width, width], values: gram },
    { name: 'order', dtype: 'I32', shape: [width], values: order },
    { name: 'scales', dtype: 'F32', shape: [scales.length], values: scales },
    { name: 'zeros', dtype: 'U8', shape: [zeros.length], values: zeros },
  ]);
  const script = path.join(places.suite, 'python', 'encoders.py');
  const named = ['--question', question, '--tensors', tensors, '--out', out];
  execFileSync(places.python, [script, 'gptq', ...named], { stdio: 'inherit' });
  const answer = await readTensors(out);
  const [theirLoss] = new Float64Array(answer('loss'));
  const sum = (losses: Float32Array): number => losses.reduce((total, loss) => total + loss, 0);
  expect(shareEqual(codes, new Uint8Array(answer('codes')))).toBeGreaterThan(0.995);
  expect(sum(found.losses.kept) / theirLoss).toBeCloseTo(1, 2);
  expect(theirLoss).toBeLessThan(0.8 * sum(found.losses.nearest));
});

function shareEqual(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let equal = 0;
  for (let i = 0; i < a.length; i++) if (a[i] === b[i]) equal++;
  expect(a.length).toBe(b.length);
  return equal / a.length;
}
