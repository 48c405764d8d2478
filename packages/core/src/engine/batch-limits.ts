/** @file How much text a model is given at once. */

/** Tokens of a batch, as llama.cpp's own tools take them. */
export const BATCH_TOKENS = 2048;

/** Logits of one batch, about: the engine holds them, and what is made of them is as large. */
export const BATCH_LOGIT_BYTES = 64 * 2 ** 20;

/**
 * True where the logits of two chunks fit into what one batch may take. Only then may two contexts work side by side, which
 * is faster: threads that share a graph wait for each other at every node.
 */
export function fitsTwice(contextTokens: number, vocabulary: number): boolean {
  return 2 * 4 * contextTokens * vocabulary <= BATCH_LOGIT_BYTES;
}
