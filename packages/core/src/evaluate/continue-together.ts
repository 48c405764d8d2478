/**
 * @file A model's own text: several prompts continued at once, token by token, in one context, since a pass for six tokens costs hardly
 * more than one for a single token; and what the model predicts at every place of a text that is given.
 */
import { LlamaContext, type LlamaModel, type TokenBatch } from '@bitsmith/ggml';
import { referenceDistribution } from './divergence.js';

export interface ContinueOptions {
  /** Tokens added to each prompt, at most. */
  readonly count: number;
  readonly threads: number;
  /** One for each prompt: numbers in [0, 1) that draw its tokens. */
  readonly random: readonly (() => number)[];
  /** Called after each pass. */
  readonly step: () => void;
}

/** Continues every prompt by tokens drawn by their probabilities, each until its end token. */
export async function continueTogether(
  model: LlamaModel,
  prompts: readonly Int32Array[],
  { count, threads, random, step }: ContinueOptions,
): Promise<Int32Array[]> {
  const longest = Math.max(...prompts.map(({ length }) => length));
  const vocabulary = model.vocabulary.size;
  const probabilities = new Float32Array(vocabulary);
  const context = LlamaContext.create(model, {
    contextTokens: (longest + count) * prompts.length,
    batchTokens: longest * prompts.length,
    sequences: prompts.length,
    threads,
  });
  try {
    const texts = prompts.map((prompt, sequence) => ({
      sequence,
      position: 0,
      next: prompt,
      added: [] as number[],
    }));
    let open = texts;
    for (let pass = 0; pass < count && open.length > 0; pass++) {
      await context.decodeAsync(batchOf(open));
      const logits = context.logits();
      open = open.filter((text, row) => {
        const token = draw(logits, row * vocabulary, probabilities, random[text.sequence]());
        if (model.vocabulary.endsGeneration(token)) return false;
        text.position += text.next.length;
        text.next = Int32Array.of(token);
        text.added.push(token);
        return true;
      });
      step();
    }
    return texts.map(({ added }) => Int32Array.from(added));
  } finally {
    context.dispose();
  }
}

interface OpenText {
  readonly sequence: number;
  readonly position: number;
  /** Tokens that the model has not read yet. */
  readonly next: Int32Array;
}

/** What is to be read of every text; logits after the last token of each. */
function batchOf(texts: readonly OpenText[]): TokenBatch {
  const flat = (of: (text: OpenText, index: number) => number): number[] =>
    texts.flatMap((text) => Array.from(text.next, (_, index) => of(text, index)));
  return {
    tokens: Int32Array.from(flat(({ next }, index) => next[index])),
    positions: Int32Array.from(flat(({ position }, index) => position + index)),
    sequenceIds: Int32Array.from(flat(({ sequence }) => sequence)),
    outputs: Uint8Array.from(flat(({ next }, index) => (index === next.length - 1 ? 1 : 0))),
  };
}

/** The token that a number in [0, 1) stands for. */
function draw(logits: Float32Array, offset: number, probabilities: Float32Array, number: number): number {
  const { mass, top } = referenceDistribution(logits, offset, probabilities.length, probabilities, 0);
  let left = number * mass;
  for (let token = 0; token < probabilities.length; token++) {
    left -= probabilities[token];
    if (left < 0) return token;
  }
  return top;
}

/** What a model predicts at every place of a text. */
export interface Predictions {
  /** The most probable token. */
  readonly tops: Int32Array;
  readonly entropyNats: Float64Array;
}

/** Reads continuations after their prompts. */
export async function readBack(
  model: LlamaModel,
  prompts: readonly Int32Array[],
  continuations: readonly Int32Array[],
  { threads, step }: Pick<ContinueOptions, 'threads' | 'step'>,
): Promise<Predictions[]> {
  const longest = Math.max(...prompts.map(({ length }, index) => length + continuations[index].length));
  const context = LlamaContext.create(model, {
    contextTokens: longest,
    batchTokens: longest,
    sequences: 1,
    threads,
  });
  try {
    const found: Predictions[] = [];
    for (const [index, prompt] of prompts.entries()) {
      found.push(await readOne(context, model, prompt, continuations[index]));
      step();
    }
    return found;
  } finally {
    context.dispose();
  }
}

async function readOne(
  context: LlamaContext,
  model: LlamaModel,
  prompt: Int32Array,
  continuation: Int32Array,
): Promise<Predictions> {
  const count = continuation.length;
  const tops = new Int32Array(count);
  const entropyNats = new Float64Array(count);
  if (count === 0) return { tops, entropyNats };
  // The last token would predict what comes after the text.
  const tokens = Int32Array.of(...prompt, ...continuation.subarray(0, count - 1));
  context.clearMemory();
  await context.decodeAsync({
    tokens,
    positions: Int32Array.from(tokens, (_, position) => position),
    sequenceIds: new Int32Array(tokens.length),
    outputs: Uint8Array.from(tokens, (_, position) => (position >= prompt.length - 1 ? 1 : 0)),
  });
  const vocabulary = model.vocabulary.size;
  const probabilities = new Float32Array(vocabulary);
  const logits = context.logits();
  for (let place = 0; place < count; place++) {
    const p = referenceDistribution(logits, place * vocabulary, vocabulary, probabilities, 0);
    tops[place] = p.top;
    entropyNats[place] = -p.negativeEntropy;
  }
  return { tops, entropyNats };
}
