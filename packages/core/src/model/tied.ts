/**
 * @file Tied embeddings: a model without an output matrix reads its token embedding once more at its end (`llama.cpp` does so
 * wherever `output.weight` is missing). Two names, one storage.
 */
import type { SourceModel } from './types.js';

/** A name that the file has no tensor for, and the tensor that is read in its place. */
export interface TiedTensor {
  readonly name: string;
  readonly storage: string;
}

/** Architectures without a head that do not say `attention.causal = false`. */
const HEADLESS_ARCHITECTURES: ReadonlySet<string> = new Set(['t5encoder']);

/** The output head of a model with tied embeddings; nothing for a model that stores both, or predicts no tokens. */
export function tiedTensors({
  architecture,
  metadata,
  tensors,
}: Pick<SourceModel, 'architecture' | 'metadata' | 'tensors'>): readonly TiedTensor[] {
  const has = (wanted: string): boolean => tensors.some(({ name }) => name === wanted);
  if (!has('token_embd.weight') || has('output.weight')) return [];
  const causal = metadata.get(`${architecture}.attention.causal`);
  if (causal?.value === false || HEADLESS_ARCHITECTURES.has(architecture)) return [];
  return [{ name: 'output.weight', storage: 'token_embd.weight' }];
}
