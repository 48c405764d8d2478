/** @file What only a machine with a GPU engine and a GPU can show; elsewhere these tests are skipped. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LlamaContext, LlamaModel, loadEngine, WeightSlots } from '../src/index.js';
import { probeEngine } from '../src/probe.js';
import { logitsOf, randomBatch } from './support/batches.js';
import { temporaryFolder, writeTinyModel } from './support/tiny-model.js';

const description = await probeEngine({ gpu: true }).catch(() => null);
const folder = temporaryFolder();
afterAll(() => folder.remove());

describe.skipIf(description === null)('a model on the GPU', () => {
  let host: LlamaModel;
  let device: LlamaModel;

  beforeAll(async () => {
    const engine = loadEngine({ threads: 1, gpu: true });
    await writeTinyModel(folder.at('tiny.gguf'));
    host = await LlamaModel.open(engine, folder.at('tiny.gguf'));
    device = await LlamaModel.open(engine, folder.at('tiny.gguf'), { gpuLayers: 1000 });
  });
  afterAll(() => {
    host.dispose();
    device.dispose();
  });

  /** Logits, and the sum of squares of each product's input with where it lay. */
  function compute(model: LlamaModel) {
    const inputs: { readonly energy: number; readonly onHost: boolean }[] = [];
    const context = LlamaContext.create(model, {
      contextTokens: 64,
      observe: {
        wants: (node) => node.op === 'MUL_MAT' && node.source(0).name.endsWith('.weight'),
        take: (node) => {
          const input = node.source(1);
          const energy = input.floats().reduce((sum, x) => sum + x * x, 0);
          inputs.push({ energy, onHost: input.onHost });
        },
      },
    });
    try {
      return { logits: logitsOf(context, randomBatch(1, 64)), inputs };
    } finally {
      context.dispose();
    }
  }

  it('predicts and shows what it does on the CPU, but for rounding', { timeout: 300_000 }, () => {
    const expected = compute(host);
    const found = compute(device);
    expect(expected.inputs.every(({ onHost }) => onHost)).toBe(true);
    expect(found.inputs.some(({ onHost }) => !onHost)).toBe(true);
    expect(found.inputs).toHaveLength(expected.inputs.length);
    found.inputs.forEach(({ energy }, index) => {
      expect(Math.abs(energy / expected.inputs[index].energy - 1)).toBeLessThan(0.01);
    });
    const norm = Math.hypot(...expected.logits);
    const difference = Math.hypot(...expected.logits.map((logit, index) => logit - found.logits[index]));
    expect(difference / norm).toBeLessThan(0.01);
  });

  it('gives no weight to replace: those lie on the device', () => {
    const slots = WeightSlots.discover(device);
    const name = slots.names.find((weight) => weight.includes('ffn_up'));
    const { type, shape } = slots.describe(name ?? '');
    expect(() => slots.replace(name ?? '', type, new Uint8Array(shape[0] * shape[1] * 4))).toThrow(
      expect.objectContaining({ code: 'WEIGHT_NOT_ON_HOST' }),
    );
  });
});
