/**
 * @file The converted model at work: llama.cpp reads its tokenizer and runs its weights, and gets the tokens and logits that transformers
 * gets from the folder.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { LlamaContext, LlamaModel, loadEngine } from '@bitsmith/ggml';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FileSink } from '../../packages/core/src/io/file-sink.js';
import {
  convertHuggingFace,
  openLocalFolder,
  type OutputType,
  writeConvertedModel,
} from '../../packages/core/src/model/huggingface/index.js';
import cases from './cases.json' with { type: 'json' };
import texts from './texts.json' with { type: 'json' };
import { places } from './workspace.mjs';

interface Answer {
  readonly tokens: readonly (readonly number[])[];
  readonly prompt: readonly number[];
  readonly logits: readonly number[];
}

const answers = JSON.parse(await readFile(places.transformers, 'utf8')) as Record<string, Answer>;
const engine = loadEngine({ threads: 2 });
let scratch: string;

beforeAll(async () => {
  scratch = await mkdtemp(path.join(os.tmpdir(), 'bitsmith-interop-'));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

async function opened(location: string, outputType: OutputType): Promise<LlamaModel> {
  const folder = await openLocalFolder(location);
  const file = path.join(scratch, `${path.basename(location)}.gguf`);
  try {
    const sink = await FileSink.create(file);
    await writeConvertedModel(await convertHuggingFace(folder, { outputType }), sink);
    await sink.close();
  } finally {
    await folder.close();
  }
  return LlamaModel.open(engine, file);
}

/**
 * Largest difference of a logit, relative to the largest logit. The converted weights are float32 and exact; the engine keeps keys and
 * values in F16 and looks GELU up in a table.
 */
const TOLERANCE = 5e-3;

async function lastLogits(model: LlamaModel, prompt: readonly number[]): Promise<number[]> {
  const context = LlamaContext.create(model, { contextTokens: 64, threads: 2 });
  try {
    await context.decodeAsync({
      tokens: Int32Array.from(prompt),
      positions: Int32Array.from(prompt.keys()),
      sequenceIds: new Int32Array(prompt.length),
      outputs: Uint8Array.from(prompt, (_, index) => Number(index === prompt.length - 1)),
    });
    return [...context.logits().subarray(0, 512)];
  } finally {
    context.dispose();
  }
}

const locations = Object.fromEntries(
  [...Object.keys(cases).map((name) => path.join(places.models, name)), places.bundledModel].map(
    (location) => [path.basename(location), location],
  ),
);

describe.each(Object.entries(answers))('%s', (name, answer) => {
  let model: LlamaModel;
  beforeAll(async () => {
    model = await opened(locations[name], 'F32');
  });
  afterAll(() => model.dispose());

  test.each(texts.map((text, index) => ({ text, index })))('tokens of $text', ({ text, index }) => {
    expect([...model.vocabulary.tokenize(text, { addSpecial: false })]).toEqual(answer.tokens[index]);
  });

  test('logits', async () => {
    const logits = await lastLogits(model, answer.prompt);
    const scale = Math.max(...answer.logits.map(Math.abs));
    const worst = Math.max(...logits.map((logit, id) => Math.abs(logit - answer.logits[id]) / scale));
    expect(worst).toBeLessThan(TOLERANCE);
  });
});
