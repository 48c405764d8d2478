/**
 * @file What a search has measured: the true loss of plans, text by text, and the tokens that this took. Every loss is an artifact
 * of its own, so a search that was interrupted finds what it measured; tokens are counted as if nothing had been there, for a
 * search must end the same way whether it was interrupted or not.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { Variant } from '../measure/live/change.js';
import { roomForEncoded } from '../encode/room-for-encoded.js';
import { gatherVariants, type LiveMeasurement } from '../measure/live/variants.js';
import type { TrueLoss } from '../measure/live/variants-task.js';
import type { Choice } from '../plan/types.js';
import type { Work } from '../run/events.js';
import { type TokenizedText, tokensOf } from '../text/tokenize.js';
import { type Assignment, genomeOf, variantOf } from './assignment.js';

/** What measuring plans needs besides the text. */
export type PlanMeasurement = Omit<LiveMeasurement, 'text' | 'encodedCacheBytes'>;

export class PlanLedger {
  /** Tokens that plans ran over. */
  tokens = 0;
  private readonly live: PlanMeasurement;
  private readonly choices: readonly Choice[];
  private readonly losses = new Map<TokenizedText, Map<string, TrueLoss>>();
  private readonly genomes = new Set<string>();
  private readonly overflow = new Map<string, BitsmithError>();
  /** True while everything asked for was in the store. */
  cached = true;
  private readonly cacheBytes = roomForEncoded();

  constructor(live: PlanMeasurement, choices: readonly Choice[]) {
    this.live = live;
    this.choices = choices;
  }

  /** Different plans that were measured. */
  get evaluations(): number {
    return this.genomes.size;
  }

  /** Measures what of these was not measured on the text. */
  async *measure(assignments: readonly Assignment[], text: TokenizedText, label: string): Work<void> {
    const known = this.lossesOn(text);
    const variants = assignments
      .filter((assignment) => !known.has(genomeOf(this.choices, assignment)))
      .map((assignment) => variantOf(this.live.model, this.choices, assignment));
    yield* this.measureVariants(variants, text, label);
  }

  /** The same for plans in any rounding; the ids tell them apart. */
  async *measureVariants(given: readonly Variant[], text: TokenizedText, label: string): Work<void> {
    const known = this.lossesOn(text);
    const missing = new Map(given.filter(({ id }) => !known.has(id)).map((variant) => [variant.id, variant]));
    if (missing.size === 0) return;
    const variants = [...missing.values()];
    try {
      yield* this.gather(variants, text, label);
    } catch (error) {
      if (!overflows(error)) throw error;
      yield* this.gatherSingly(variants, text, label);
    }
    for (const { id } of variants) this.genomes.add(id);
    this.tokens += variants.length * tokensOf(text);
  }

  private async *gather(variants: readonly Variant[], text: TokenizedText, label: string): Work<void> {
    const live = { ...this.live, text, encodedCacheBytes: this.cacheBytes };
    const { values, cached } = yield* gatherVariants(live, variants, label);
    const known = this.lossesOn(text);
    variants.forEach(({ id }, index) => known.set(id, values[index]));
    this.cached &&= cached;
  }

  /** A plan under which the model overflows is no reason to end a search: its loss is infinite. */
  private async *gatherSingly(variants: readonly Variant[], text: TokenizedText, label: string): Work<void> {
    for (const variant of variants) {
      try {
        yield* this.gather([variant], text, label);
      } catch (error) {
        if (!overflows(error)) throw error;
        this.overflow.set(variant.id, error);
        const sequenceKlNats = text.chunks.map(() => Infinity);
        const nllIncreaseNats = Infinity;
        this.lossesOn(text).set(variant.id, { ...INFINITE, sequenceKlNats, nllIncreaseNats });
      }
    }
  }

  /** The loss of a measured plan; null of one under which the model overflows, too. */
  lossOn(text: TokenizedText, assignment: Assignment): TrueLoss | null {
    const loss = this.lossesOn(text).get(genomeOf(this.choices, assignment));
    return loss === undefined || loss.klNats === Infinity ? null : loss;
  }

  /**
   * Without a loss of this plan there is nothing to compare others with.
   * @throws BitsmithError `LOGITS_NOT_FINITE`
   */
  refuseOverflow(assignment: Assignment): void {
    const error = this.overflow.get(genomeOf(this.choices, assignment));
    if (error !== undefined) throw error;
  }

  /** The loss of a measured variant, infinite where the model overflows. */
  lossOf(text: TokenizedText, id: string): TrueLoss {
    const loss = this.lossesOn(text).get(id);
    if (loss === undefined) throw new Error(`variant ${id} was not measured on ${text.name}`);
    return loss;
  }

  private lossesOn(text: TokenizedText): Map<string, TrueLoss> {
    let known = this.losses.get(text);
    if (known === undefined) this.losses.set(text, (known = new Map()));
    return known;
  }
}

const INFINITE = { klNats: Infinity, standardError: 0 };

function overflows(error: unknown): error is BitsmithError {
  return error instanceof BitsmithError && error.code === 'LOGITS_NOT_FINITE';
}
