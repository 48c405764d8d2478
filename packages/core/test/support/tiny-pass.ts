/** A pass over a model file, and what its logits say of labels. */
import { readFile } from 'node:fs/promises';
import { MemorySource, readGguf } from '@bitsmith/formats';
import type { Engine } from '@bitsmith/ggml';
import type { PassSettings } from '../../src/transformer/blocks.js';
import { GramPass } from '../../src/gram/gram-pass.js';
import { SequencePass } from '../../src/transformer/sequence-gradients.js';
import { readTransformerShape, type TransformerShape } from '../../src/transformer/shape.js';
import { WeightFiles } from '../../src/model/weight-files.js';

type Wanted = Partial<PassSettings> & { readonly positions: number };

interface Opened<Pass> extends AsyncDisposable {
  readonly pass: Pass;
  readonly model: TransformerShape;
}

export async function openPass(engine: Engine, file: string, wanted: Wanted): Promise<Opened<SequencePass>> {
  return await opened(engine, file, wanted, (settings) => SequencePass.open(settings));
}

export async function openGramPass(engine: Engine, file: string, wanted: Wanted): Promise<Opened<GramPass>> {
  return await opened(engine, file, wanted, (settings) => GramPass.open(settings));
}

async function opened<Pass extends { dispose(): void }>(
  engine: Engine,
  file: string,
  wanted: Wanted,
  open: (settings: PassSettings) => Promise<Pass>,
): Promise<Opened<Pass>> {
  const { settings, [Symbol.asyncDispose]: closeFiles } = await tinyPassSettings(engine, file, wanted);
  try {
    const pass = await open(settings);
    const close = async (): Promise<void> => {
      pass.dispose();
      await closeFiles();
    };
    return { pass, model: settings.model, [Symbol.asyncDispose]: close };
  } catch (error) {
    await closeFiles();
    throw error;
  }
}

/** What a pass over a model file is opened with. */
export async function tinyPassSettings(
  engine: Engine,
  file: string,
  wanted: Wanted,
): Promise<AsyncDisposable & { readonly settings: PassSettings }> {
  const files = await WeightFiles.open([file]);
  try {
    const { metadata } = await readGguf(new MemorySource(await readFile(file)));
    const model = readTransformerShape(metadata, (name) => files.has(name));
    const defaults = { lanes: 1, seed: 1, firstScored: 0, scratchPath: null };
    return {
      settings: { engine, files, model, ...defaults, ...wanted },
      [Symbol.asyncDispose]: () => files.close(),
    };
  } catch (error) {
    await files.close();
    throw error;
  }
}

/** Summed log-probability of the labels that are not below zero. */
export function logProbability(logits: Float32Array, labels: Int32Array): number {
  const vocabulary = logits.length / labels.length;
  let sum = 0;
  labels.forEach((label, position) => {
    if (label < 0) return;
    const row = logits.subarray(position * vocabulary, (position + 1) * vocabulary);
    const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
    let total = 0;
    for (const logit of row) total += Math.exp(logit - most);
    sum += row[label] - most - Math.log(total);
  });
  return sum;
}
