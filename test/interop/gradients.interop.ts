/**
 * @file Squared gradients of whole sequences against PyTorch's, on the same weights and the same labels: those that our own pass draws.
 * `run.mjs` makes the models; PyTorch is asked here, once the labels are known.
 */
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { MemorySource, readGguf, readSafetensors } from '@bitsmith/formats';
import { loadEngine } from '@bitsmith/ggml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FileSink } from '../../packages/core/src/io/file-sink.js';
import { SequencePass } from '../../packages/core/src/transformer/sequence-gradients.js';
import { readTransformerShape, type TransformerShape } from '../../packages/core/src/transformer/shape.js';
import type { SquaredGradient } from '../../packages/core/src/transformer/squared-gradient.js';
import {
  convertHuggingFace,
  openLocalFolder,
  writeConvertedModel,
} from '../../packages/core/src/model/huggingface/index.js';
import { WeightFiles } from '../../packages/core/src/model/weight-files.js';
import cases from './gradient-cases.json' with { type: 'json' };
import { places } from './workspace.mjs';

interface Case {
  readonly from: string;
  /** Where GELU's table of half floats tells: the engine's steps, by a step where one value falls on the other side. */
  readonly tolerance?: number;
}

const casesByName: Readonly<Record<string, Case>> = cases;
const names = Object.keys(cases);
const engine = loadEngine({ threads: 2 });
/** Longer than the sliding windows of the cases. */
const POSITIONS = 64;
/** Of logits, against the largest, and of row and column sums, against their norm. */
const TOLERANCE = 1e-4;

interface Answer {
  readonly model: TransformerShape;
  readonly tokens: Int32Array;
  readonly labels: Int32Array;
  readonly logits: Float32Array;
  readonly squared: ReadonlyMap<string, SquaredGradient>;
}

const ours = new Map<string, readonly Answer[]>();
let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(path.join(os.tmpdir(), 'bitsmith-interop-'));
  for (const name of names) ours.set(name, await answersOf(name));
  const questions = [...ours].map(([name, answers]) => [
    name,
    answers.map(({ tokens, labels }) => ({ tokens: [...tokens], labels: [...labels] })),
  ]);
  const file = path.join(scratch, 'questions.json');
  await writeFile(file, JSON.stringify(Object.fromEntries(questions)));
  const script = path.join(places.suite, 'python', 'gradients.py');
  const folders = [
    '--cases',
    path.join(places.suite, 'gradient-cases.json'),
    '--models',
    places.gradientModels,
    '--out',
    places.gradientAnswers,
  ];
  execFileSync(places.python, [script, 'answers', '--questions', file, ...folders], { stdio: 'inherit' });
}, 600_000);
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function answersOf(name: string): Promise<Answer[]> {
  const file = path.join(scratch, `${name}.gguf`);
  const folder = await openLocalFolder(path.join(places.gradientModels, name));
  try {
    const sink = await FileSink.create(file);
    await writeConvertedModel(await convertHuggingFace(folder, { outputType: 'F32' }), sink);
    await sink.close();
  } finally {
    await folder.close();
  }
  const files = await WeightFiles.open([file]);
  const { metadata } = await readGguf(new MemorySource(await readFile(file)));
  const model = readTransformerShape(metadata, (tensor) => files.has(tensor));
  const vocabulary = files.tensor('token_embd.weight').rows;
  const settings = { positions: POSITIONS, lanes: 2, seed: 5, firstScored: 8, scratchPath: null };
  const pass = await SequencePass.open({ engine, files, model, ...settings });
  const sequences = [0, 1].map((index) => ({ index, tokens: someTokens(index, vocabulary) }));
  const found = await pass.run(sequences);
  const answers: Answer[] = [];
  for (const [at, { tokens, index }] of sequences.entries())
    answers.push({ model, tokens, ...found[at], logits: await pass.logits({ index, tokens }) });
  pass.dispose();
  await files.close();
  return answers;
}

/** Tokens all over the vocabulary, some of them twice. */
function someTokens(index: number, vocabulary: number): Int32Array {
  return Int32Array.from(
    { length: POSITIONS },
    (_, position) => (7 + index * 977 + (position % 51) * 409) % vocabulary,
  );
}

/** Our name of a matrix of a Hugging Face model. */
function tensorName(parameter: string): string {
  const top = { 'model.embed_tokens.weight': 'token_embd', 'lm_head.weight': 'output' }[parameter];
  if (top !== undefined) return `${top}.weight`;
  const [, block, part] = /^model\.layers\.(\d+)\.\w+\.(\w+)_proj\.weight$/.exec(parameter) ?? [];
  const parts: Readonly<Record<string, string>> = {
    q: 'attn_q',
    k: 'attn_k',
    v: 'attn_v',
    qkv: 'attn_qkv',
    o: 'attn_output',
    gate: 'ffn_gate',
    up: 'ffn_up',
    gate_up: 'ffn_up',
    down: 'ffn_down',
  };
  return `blk.${block}.${parts[part]}.weight`;
}

/** Rows in the order of the converter, which pairs neighbours where Llama pairs halves of heads. */
function inOurOrder(rows: Float64Array, name: string, model: TransformerShape): Float64Array {
  const [, kind] = /attn_([qk])\.weight$/.exec(name) ?? [];
  if (model.architecture !== 'llama' || kind === undefined) return rows;
  const heads = kind === 'q' ? model.heads : model.keyValueHeads;
  const half = rows.length / heads / 2;
  return rows.map((_, row) => {
    const head = Math.floor(row / (2 * half));
    const place = row % (2 * half);
    return rows[head * 2 * half + (place % 2) * half + Math.floor(place / 2)];
  });
}

function relativeDifference(found: Float32Array, expected: Float64Array): number {
  expect(found).toHaveLength(expected.length);
  let difference = 0;
  let norm = 0;
  expected.forEach((value, i) => {
    difference += (found[i] - value) ** 2;
    norm += value ** 2;
  });
  return Math.sqrt(difference / norm);
}

describe.each(names)('%s', (name) => {
  let theirs: ReadonlyMap<string, { readonly values: Float64Array; readonly dtype: string }>;
  beforeAll(async () => {
    const bytes = new Uint8Array(await readFile(path.join(places.gradientAnswers, `${name}.safetensors`)));
    const { tensors } = await readSafetensors(new MemorySource(bytes));
    theirs = new Map(
      tensors.map(({ name: key, dtype, offset, byteLength }) => {
        const { buffer } = bytes.slice(offset, offset + byteLength);
        const values =
          dtype === 'F64' ? new Float64Array(buffer) : Float64Array.from(new Float32Array(buffer));
        return [key, { values, dtype }];
      }),
    );
  });

  test.each([0, 1])('logits and squared gradients of sequence %i', (index) => {
    const { tolerance = TOLERANCE } = casesByName[name];
    const { model, logits, squared } = (ours.get(name) as readonly Answer[])[index];
    const reference = theirs.get(`${index}/logits`)?.values as Float64Array;
    const worst = logits.reduce((most, logit, i) => Math.max(most, Math.abs(logit - reference[i])), 0);
    const spread = reference.reduce((most, logit) => Math.max(most, Math.abs(logit)), 0);
    const parameters = [...theirs.keys()].filter(
      (key) => key.startsWith(`${index}/`) && key.endsWith('/rows'),
    );
    const seen = new Set<string>();
    const differences: number[] = [];
    for (const key of parameters) {
      const tensor = tensorName(key.split('/')[1]);
      seen.add(tensor);
      const found = squared.get(tensor) as SquaredGradient;
      const rows = inOurOrder(theirs.get(key)?.values as Float64Array, tensor, model);
      const columns = theirs.get(key.replace('/rows', '/columns'))?.values as Float64Array;
      const [byRow, byColumn] = [
        relativeDifference(found.rows, rows),
        relativeDifference(found.columns, columns),
      ];
      differences.push(byRow, byColumn);
    }
    expect(seen).toEqual(new Set(squared.keys()));
    expect(worst / spread).toBeLessThan(tolerance);
    expect(Math.max(...differences)).toBeLessThan(tolerance);
  });
});
