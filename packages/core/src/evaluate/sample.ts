/** @file A short greedy continuation: always the most probable token, so that two models can be read side by side. */
import { LlamaContext, type LlamaModel } from '@bitsmith/ggml';

/** Continues `prompt` by up to `count` tokens; stops at an end token. Returns the added text. */
export function continueGreedily(
  model: LlamaModel,
  prompt: Int32Array,
  count: number,
  threads: number,
): string {
  const context = LlamaContext.create(model, {
    contextTokens: prompt.length + count,
    batchTokens: prompt.length,
    sequences: 1,
    threads,
  });
  try {
    const added: number[] = [];
    let tokens = prompt;
    let position = 0;
    while (added.length < count) {
      const last = tokens.length - 1;
      context.decode({
        tokens,
        positions: Int32Array.from(tokens, (_, index) => position + index),
        sequenceIds: new Int32Array(tokens.length),
        outputs: Uint8Array.from(tokens, (_, index) => (index === last ? 1 : 0)),
      });
      position += tokens.length;
      const next = mostProbable(context.logits(), model.vocabulary.size);
      if (model.vocabulary.endsGeneration(next)) break;
      added.push(next);
      tokens = Int32Array.of(next);
    }
    return model.vocabulary.detokenize(Int32Array.from(added));
  } finally {
    context.dispose();
  }
}

function mostProbable(logits: Float32Array, vocabulary: number): number {
  let best = 0;
  for (let i = 1; i < vocabulary; i++) if (logits[i] > logits[best]) best = i;
  return best;
}
