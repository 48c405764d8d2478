import path from 'node:path';
import { LlamaContext, LlamaModel, loadEngine } from '@bitsmith/ggml';
import { describe, expect, test } from 'vitest';
import { temporaryFolder } from '../support/temporary.js';
import { openPass } from '../support/tiny-pass.js';
import {
  type TinyShape,
  tinyFamilies,
  tinyTokens,
  writeTinyTransformer,
} from '../support/tiny-transformer.js';

const engine = loadEngine({ threads: 2 });
const folder = await temporaryFolder();
const POSITIONS = 48;

/** llama.cpp's own, with nothing rounded that ours does not round. */
async function engineLogits(file: string, tokens: Int32Array): Promise<Float32Array> {
  const model = await LlamaModel.open(engine, file);
  const context = LlamaContext.create(model, {
    contextTokens: tokens.length,
    threads: 1,
    keyValueType: 'F32',
    flashAttention: false,
  });
  try {
    context.decode({
      tokens,
      positions: Int32Array.from(tokens.keys()),
      sequenceIds: new Int32Array(tokens.length),
      outputs: new Uint8Array(tokens.length).fill(1),
    });
    return context.logits().slice();
  } finally {
    context.dispose();
    model.dispose();
  }
}

describe("logits equal llama.cpp's", () => {
  const models: Readonly<Record<string, TinyShape>> = {
    ...tinyFamilies,
    // The one depth at which Gemma 3 scales attention in another way.
    'gemma3 of 62 blocks': { ...tinyFamilies.gemma3, blocks: 62, headSize: 16 },
  };
  test.each(Object.keys(models))('%s', async (name) => {
    const shape = models[name];
    const file = path.join(folder, `${name.replaceAll(/\W+/g, '-')}.gguf`);
    await writeTinyTransformer(file, shape);
    const tokens = tinyTokens(POSITIONS, shape.vocabulary, 5);
    await using opened = await openPass(engine, file, { positions: POSITIONS });
    const ours = await opened.pass.logits({ index: 0, tokens });
    const theirs = await engineLogits(file, tokens);
    expect(theirs).toHaveLength(POSITIONS * shape.vocabulary);
    const spread = Math.max(...theirs) - Math.min(...theirs);
    expect(spread).toBeGreaterThan(4);
    let worst = 0;
    theirs.forEach((logit, i) => (worst = Math.max(worst, Math.abs(logit - ours[i]))));
    // Where products round in another order, GELU falls on the next step of its table now and then, and many blocks pass it on.
    expect(worst).toBeLessThan(shape.blocks > 30 ? 0.02 : 1e-5);
  });
});
