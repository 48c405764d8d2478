/**
 * @file In the engine: the true loss of any set of changes. Changed bytes take the place of weights in the live,
 * memory-mapped model, text runs through, and the KL divergence from the untouched model is the set's cost. Consecutive
 * variants share what they have in common; at the end every weight is put back exactly.
 */
import { BitsmithError } from '@bitsmith/formats';
import { WeightSlots } from '@bitsmith/ggml';
import type { EngineSettings, TaskType } from '../../engine/task-type.js';
import { openLlama } from '../../engine/session.js';
import { meanWithError } from '../../evaluate/summary.js';
import { readImportance } from '../../io/read-importance.js';
import { WeightFiles } from '../../model/weight-files.js';
import { describeChange, type Variant } from './change.js';
import { type Baseline, type Batch, LiveModel, type PositionLosses } from './live-model.js';
import { changeSource } from './changed-bytes.js';
import { sharedEncodedCache } from '../../encode/encoded-cache.js';
import { LiveWeights } from './live-weights.js';
import { standardErrorOfMean } from '../standard-error.js';
import type { RoundingParameters } from '../../gram/rounding.js';

/** The true loss of a variant on a text. */
export interface TrueLoss {
  /** Mean over the scored positions, in nats per token. */
  readonly klNats: number;
  /** Of that mean: over the text's sequences, or over positions where there is one sequence alone. */
  readonly standardError: number;
  /** Mean of each sequence of the text, in order. */
  readonly sequenceKlNats: readonly number[];
  /** Mean increase of -ln q(token that follows), in nats: ln of the ratio of perplexities. */
  readonly nllIncreaseNats: number;
}

export type VariantsTask = TaskType<
  {
    readonly ggufPath: string;
    readonly files: readonly string[];
    readonly importancePath: string;
    readonly rounding?: RoundingParameters | null;
    readonly contextTokens: number;
    readonly chunks: readonly Int32Array[];
    readonly variants: readonly Variant[];
    /** Memory for encoded tensors that this task or the next ones want again; 0 or absent: they are encoded anew. */
    readonly encodedCacheBytes?: number;
  },
  TrueLoss & { readonly id: string },
  null
>;

/** How much is kept of the untouched model's predictions. */
export interface BaselineLimits {
  /** What baselines may take at once; those of a whole text would be gigabytes with a large vocabulary. */
  readonly baselineBytes: number;
  /** Variants that share one run of the untouched model where the baselines of the whole text do not fit. */
  readonly groupVariants: number;
}

const defaultLimits: BaselineLimits = { baselineBytes: 128 * 2 ** 20, groupVariants: 16 };

/**
 * Measures variants in the order given.
 * @throws BitsmithError `WEIGHT_UNKNOWN` for a tensor that the model does not compute with, before anything is measured;
 *   `LOGITS_NOT_FINITE`
 */
export async function runVariants(
  parameters: VariantsTask['parameters'],
  report: (event: VariantsTask['event']) => void,
  settings: EngineSettings,
  limits: BaselineLimits = defaultLimits,
): Promise<null> {
  const { ggufPath, contextTokens, chunks, variants, encodedCacheBytes = 0 } = parameters;
  // Changed bytes take the place of weights in main memory: a GPU would go on with its own copy.
  const model = await openLlama(ggufPath, settings, 'cpu');
  const importance = await readImportance(parameters.importancePath);
  const slots = WeightSlots.discover(model);
  for (const { changes } of variants) for (const { tensor } of changes) slots.describe(tensor);
  const live = LiveModel.create(model, contextTokens, chunks.length, settings.threads);
  const files = await WeightFiles.open(parameters.files);
  const encoded = sharedEncodedCache(parameters, encodedCacheBytes);
  const weights = new LiveWeights(
    slots,
    changeSource(files, importance, settings, encoded, parameters.rounding),
  );
  try {
    const spans = cutIntoSpans(
      live.batches(chunks),
      (batch) => live.baselineBytes(batch),
      limits.baselineBytes,
    );
    for (const group of cutIntoGroups(variants, spans.length, limits.groupVariants)) {
      const found = group.map((): PositionLosses => ({ klNats: [], nllIncreaseNats: [] }));
      for (const span of spans) {
        weights.restoreAll();
        const baselines: Baseline[][] = [];
        for (const batch of span) baselines.push(await live.baselines(batch));
        for (const [index, variant] of group.entries()) {
          await weights.set(variant.changes);
          for (const baseline of baselines) append(found[index], await live.losses(baseline));
          if (span === spans.at(-1))
            report({ id: variant.id, ...lossOf(variant, found[index], live.scored) });
        }
      }
    }
    return null;
  } finally {
    weights.restoreAll();
    live.dispose();
    await files.close();
  }
}

/** Batches whose baselines are kept together, at least one. */
export function cutIntoSpans(
  batches: readonly Batch[],
  bytesOf: (batch: Batch) => number,
  limitBytes: number,
): (readonly Batch[])[] {
  const spans: Batch[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const batch of batches) {
    bytes += bytesOf(batch);
    if (bytes <= limitBytes) spans.at(-1)?.push(batch);
    else {
      spans.push([batch]);
      bytes = bytesOf(batch);
    }
  }
  return spans;
}

/** With a single span its baselines serve all variants. */
export function cutIntoGroups<Item>(
  items: readonly Item[],
  spans: number,
  groupSize: number,
): (readonly Item[])[] {
  const size = spans === 1 ? Math.max(1, items.length) : groupSize;
  const groups: (readonly Item[])[] = [];
  for (let first = 0; first < items.length; first += size) groups.push(items.slice(first, first + size));
  return groups;
}

function append(to: PositionLosses, from: PositionLosses): void {
  to.klNats.push(...from.klNats);
  to.nllIncreaseNats.push(...from.nllIncreaseNats);
}

/** @param losses at every scored position of the text, sequence by sequence */
function lossOf(variant: Variant, { klNats, nllIncreaseNats }: PositionLosses, scored: number): TrueLoss {
  const broken = klNats.findIndex((value) => !Number.isFinite(value));
  if (broken >= 0) throw notFinite(variant, Math.floor(broken / scored));
  const sequenceKlNats = Array.from(
    { length: klNats.length / scored },
    (_, sequence) => meanWithError(klNats.slice(sequence * scored, (sequence + 1) * scored)).value,
  );
  // Positions of one sequence are not independent of each other, so that sequences are what is counted.
  const standardError = standardErrorOfMean(sequenceKlNats) ?? standardErrorOfMean(klNats) ?? 0;
  return {
    klNats: meanWithError(klNats).value,
    standardError,
    sequenceKlNats,
    nllIncreaseNats: meanWithError(nllIncreaseNats.filter((value) => !Number.isNaN(value))).value,
  };
}

/** Changes that an error message lists. */
const NAMED_CHANGES = 3;

function notFinite({ changes }: Variant, sequence: number): BitsmithError {
  const named = changes.slice(0, NAMED_CHANGES).map(describeChange).join(', ');
  const rest = changes.length > NAMED_CHANGES ? ` and ${changes.length - NAMED_CHANGES} more` : '';
  return new BitsmithError(
    'analysis',
    'LOGITS_NOT_FINITE',
    `expected finite predictions with ${named}${rest}, found NaN or infinity in sequence ${sequence}`,
    {
      suggestion:
        'The model overflows with these weights on this text. Keep them as stored, or try another text.',
    },
  );
}
