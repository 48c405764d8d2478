/** @file What a user wishes of a file: sizes, memory and quality, alone or together, read before anything is opened. */
import { BitsmithError } from '@bitsmith/formats';
import { originalOf, type SourceModel } from '../model/types.js';
import { type Budget, type BudgetTerm, parseBudget, refuseNoBudget, resolveBudget } from '../plan/budget.js';
import { contextMemory } from '../plan/memory/context-memory.js';
import { dataRange, type TensorOptions } from '../plan/options.js';
import { parseQuality, type QualityLimit } from '../plan/quality.js';
import type { RunContext } from '../run/context.js';

export interface WishOptions {
  /** Bytes of the whole file: `1.2GB`, `800MiB`, or a number. */
  readonly size?: string | number;
  /** Stored bits of all tensors by the number of weights. */
  readonly bitsPerWeight?: string | number;
  /** Source bytes / written bytes. */
  readonly ratio?: string | number;
  /** Memory for the weights, keys and values of `context` tokens, and the buffers that are computed in: `8GB`. */
  readonly memory?: string | number;
  /** Tokens of context that the file will be run with; belongs to `memory`. */
  readonly context?: string | number;
  /** What keys and values will be kept in (`F16` unless told, `Q8_0`, `Q4_0`, ...); belongs to `memory`. */
  readonly keyValueType?: string;
  /** Mean KL(source || file) in nats per token, at most: the smallest file that meets it. */
  readonly maxKl?: string | number;
  /** Percent by which the perplexity may grow, at most: the smallest file that meets it. */
  readonly maxPerplexityIncrease?: string | number;
  /** Cosine similarity of every tensor's written weights with the source's, at least. */
  readonly minCosine?: string | number;
}

export interface Wishes {
  readonly sizes: readonly BudgetTerm[];
  readonly limits: readonly QualityLimit[];
}

/** @throws BitsmithError `BUDGET_MALFORMED`, `QUALITY_MALFORMED`, `BUDGET_MISSING` */
export function readWishes(options: WishOptions): Wishes {
  const { bitsPerWeight, ...rest } = options;
  const sizes = parseBudget({ ...rest, bpw: bitsPerWeight });
  const limits = parseQuality(options);
  refuseNoBudget(sizes.length + limits.length);
  return { sizes, limits };
}

const flags = {
  size: '--size',
  bitsPerWeight: '--bpw',
  ratio: '--ratio',
  memory: '--memory',
  context: '--context',
  keyValueType: '--kv-type',
  maxKl: '--max-kl',
  maxPerplexityIncrease: '--max-ppl-increase',
  minCosine: '--min-cosine',
} as const satisfies Record<keyof WishOptions, string>;

/** Wishes that were given, as flags. */
export function givenWishes(options: WishOptions): string[] {
  return (Object.keys(flags) as (keyof WishOptions)[])
    .filter((name) => options[name] !== undefined)
    .map((name) => `${flags[name]} ${options[name]}`);
}

/** A limit of loss is confirmed on the file; without that it would be a guess. */
export function refuseUnconfirmed(options: WishOptions): void {
  const unconfirmed = parseQuality(options).filter(({ kind }) => kind !== 'cosine');
  if (unconfirmed.length === 0) return;
  throw new BitsmithError(
    'arguments',
    'QUALITY_UNCONFIRMED',
    `expected a check of the written file for ${unconfirmed.map(({ text }) => text).join(' and ')}, found --no-verify`,
    { suggestion: 'Leave out --no-verify, or give a size instead.' },
  );
}

/**
 * The bytes that all wishes of size allow; without any, those of the model as it is.
 * @throws BitsmithError `BUDGET_IMPOSSIBLE`, `MEMORY_UNKNOWN`
 */
export async function budgetFor(
  run: RunContext,
  { sizes, limits }: Wishes,
  frame: {
    readonly model: SourceModel;
    readonly storage: readonly TensorOptions[];
    readonly headerBytes: number;
  },
): Promise<Budget> {
  const { model, storage, headerBytes } = frame;
  const memory = sizes.find((term) => term.kind === 'memory');
  const budget = resolveBudget(sizes, {
    sourceBytes: originalOf(model).byteLength,
    parameterCount: model.parameterCount,
    headerBytes,
    data: dataRange(storage),
    contextMemory:
      memory === undefined
        ? undefined
        : contextMemory(
            model.metadata,
            memory.keyValueType,
            await run.engine.run(
              'memory',
              {
                ggufPath: model.ggufPath,
                contextTokens: memory.contextTokens,
                keyValueType: memory.keyValueType,
              },
              { signal: run.signal },
            ),
          ),
  });
  const request = [...sizes, ...limits].map(({ text }) => text).join(' and ');
  return { ...budget, request: request === '' ? 'a scheme for every tensor' : request };
}
