/** @file Two models on the same tokens: the largest difference of any logit, and the KL divergence. */
import { type Engine, LlamaContext, LlamaModel, type TokenBatch } from '@bitsmith/ggml';

export interface LogitComparison {
  readonly tokens: number;
  /** Largest |difference| of a logit over all positions and tokens of the vocabulary. */
  readonly maxDifference: number;
  /** Root mean square of all differences. */
  readonly rmsDifference: number;
  /** Root mean square of the first model's logits around their mean at each position. */
  readonly rmsLogit: number;
  /** Mean KL(first || second), nats a token. */
  readonly klNats: number;
  readonly klStandardError: number;
}

/** Runs both models over chunks of text. */
export async function compareLogits(
  engine: Engine,
  [first, second]: readonly [string, string],
  text: string,
  { chunks, contextTokens }: { readonly chunks: number; readonly contextTokens: number },
): Promise<LogitComparison> {
  const models = [await LlamaModel.open(engine, first), await LlamaModel.open(engine, second)];
  const contexts = models.map((model) =>
    LlamaContext.create(model, { contextTokens, threads: engine.threads }),
  );
  try {
    const tokens = models[0].vocabulary.tokenize(text);
    const size = models[0].vocabulary.size;
    const totals = new Totals(size);
    for (let chunk = 0; chunk < chunks; chunk++) {
      const batch = batchOf(tokens.slice(chunk * contextTokens, (chunk + 1) * contextTokens));
      for (const context of contexts) {
        context.clearMemory();
        context.decode(batch);
      }
      totals.add(contexts[0].logits(), contexts[1].logits());
    }
    return totals.result();
  } finally {
    for (const context of contexts) context.dispose();
    for (const model of models) model.dispose();
  }
}

function batchOf(tokens: Int32Array): TokenBatch {
  const count = tokens.length;
  return {
    tokens,
    positions: Int32Array.from({ length: count }, (_, index) => index),
    sequenceIds: new Int32Array(count),
    outputs: new Uint8Array(count).fill(1),
  };
}

class Totals {
  private readonly vocabulary: number;
  private readonly kl: number[] = [];
  private maximum = 0;
  private squares = 0;
  private logitSquares = 0;

  constructor(vocabulary: number) {
    this.vocabulary = vocabulary;
  }

  add(first: Float32Array, second: Float32Array): void {
    const { vocabulary } = this;
    for (let at = 0; at < first.length; at += vocabulary) {
      this.addPosition(first.subarray(at, at + vocabulary), second.subarray(at, at + vocabulary));
    }
  }

  result(): LogitComparison {
    const count = this.kl.length;
    const klNats = this.kl.reduce((sum, value) => sum + value, 0) / count;
    const variance = this.kl.reduce((sum, value) => sum + (value - klNats) ** 2, 0) / (count - 1);
    return {
      tokens: count,
      maxDifference: this.maximum,
      rmsDifference: Math.sqrt(this.squares / (count * this.vocabulary)),
      rmsLogit: Math.sqrt(this.logitSquares / (count * this.vocabulary)),
      klNats,
      klStandardError: Math.sqrt(variance / count),
    };
  }

  private addPosition(p: Float32Array, q: Float32Array): void {
    const [pNormaliser, qNormaliser] = [logSumExp(p), logSumExp(q)];
    const mean = p.reduce((sum, value) => sum + value, 0) / p.length;
    let kl = 0;
    for (let i = 0; i < p.length; i++) {
      const difference = q[i] - p[i];
      this.maximum = Math.max(this.maximum, Math.abs(difference));
      this.squares += difference * difference;
      this.logitSquares += (p[i] - mean) ** 2;
      kl += Math.exp(p[i] - pNormaliser) * (p[i] - pNormaliser - (q[i] - qNormaliser));
    }
    this.kl.push(kl);
  }
}

function logSumExp(logits: Float32Array): number {
  const largest = logits.reduce((most, value) => Math.max(most, value), -Infinity);
  return largest + Math.log(logits.reduce((sum, value) => sum + Math.exp(value - largest), 0));
}
