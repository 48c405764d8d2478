/**
 * @file Quality as a budget: limits to what the written file may lose. Losses are means over the report text, with their standard
 * errors beside them; a limit is met when the mean does not pass it. Nothing is ever relaxed.
 */
import type { Evaluation, Measured } from '../evaluate/types.js';
import { misshapen, plainNumber } from './plain-number.js';

/** The limits as given: on the command line as text, from code as text or numbers. */
export interface QualityOptions {
  /** Mean KL(source || file) in nats per token, at most. */
  readonly maxKl?: string | number;
  /** Percent by which the perplexity may grow, at most: `5` or `5%`. */
  readonly maxPerplexityIncrease?: string | number;
  /** Cosine similarity of every tensor's written weights with the source's, at least. */
  readonly minCosine?: string | number;
}

/** One limit. `text` is how it was asked for. */
export type QualityLimit =
  | { readonly kind: 'kl'; readonly klNats: number; readonly text: string }
  | { readonly kind: 'perplexity'; readonly increasePercent: number; readonly text: string }
  | { readonly kind: 'cosine'; readonly least: number; readonly text: string };

/** Limits of losses that are measured on text. */
export type LossLimit = Exclude<QualityLimit, { readonly kind: 'cosine' }>;

/**
 * Reads the largest relative error that a tensor's written weights may have: the root of sum (w - w')^2 / sum w^2.
 * @throws BitsmithError `QUALITY_MALFORMED`
 */
export function parseTensorError(value: string | number): number {
  const form = 'a relative error above 0 and up to 1, for example 0.1';
  return parseNumber('--max-tensor-error', value, form, (error) => error > 0 && error <= 1);
}

const MOST_KL_NATS = 100;
const MOST_PERCENT = 1e6;

/**
 * Reads the limits.
 * @throws BitsmithError `QUALITY_MALFORMED` for a bad number or unit
 */
export function parseQuality(options: QualityOptions): readonly QualityLimit[] {
  const limits: QualityLimit[] = [];
  const { maxKl, maxPerplexityIncrease, minCosine } = options;
  if (maxKl !== undefined) {
    const form = `nats per token, a number above 0 and up to ${MOST_KL_NATS}, for example 0.01`;
    const klNats = parseNumber('--max-kl', maxKl, form, (nats) => nats > 0 && nats <= MOST_KL_NATS);
    limits.push({ kind: 'kl', klNats, text: `a KL of at most ${maxKl} nats per token` });
  }
  if (maxPerplexityIncrease !== undefined) {
    const form = `percent, a number above 0 and up to ${MOST_PERCENT.toLocaleString('en')}, for example 5`;
    const given = String(maxPerplexityIncrease).replace(/\s*%\s*$/, '');
    const increasePercent = parseNumber(
      '--max-ppl-increase',
      given,
      form,
      (percent) => percent > 0 && percent <= MOST_PERCENT,
    );
    limits.push({
      kind: 'perplexity',
      increasePercent,
      text: `a perplexity at most ${given} % above the source's`,
    });
  }
  if (minCosine !== undefined) {
    const form = 'a number above 0 and up to 1, for example 0.99';
    const least = parseNumber('--min-cosine', minCosine, form, (cosine) => cosine > 0 && cosine <= 1);
    limits.push({
      kind: 'cosine',
      least,
      text: `a cosine similarity of at least ${minCosine} in every tensor`,
    });
  }
  return limits;
}

function parseNumber(
  flag: string,
  value: string | number,
  form: string,
  isLegal: (value: number) => boolean,
): number {
  const parsed = plainNumber(value, 'exponents, too');
  if (isLegal(parsed)) return parsed;
  throw misshapen('QUALITY_MALFORMED', flag, value, form);
}

/** Mean of what is limited, in nats per token: KL, or the logarithm of the ratio of perplexities. */
export function natsOf(limit: LossLimit): number {
  return limit.kind === 'kl' ? limit.klNats : Math.log1p(limit.increasePercent / 100);
}

/** A plan that meets the limits on the search text. */
export interface QualityFit {
  /** Of the whole file. */
  readonly bytes: number;
  /** On the search text, in nats per token. */
  readonly klNats: { readonly value: number; readonly standardError: number };
  /** ln of the ratio of perplexities on the search text. */
  readonly nllIncreaseNats: number;
  /** Share of the limits that was planned for. */
  readonly allowance: number;
  /** The KL that all limits allow on the search text, at that share. */
  readonly allowedNats: number;
  /** Plans that were measured, and the tokens of text that each ran over. */
  readonly evaluations: number;
  readonly tokens: number;
  readonly evidence: 'measured';
}

/** What became of a limit on the written file. */
export interface QualityVerdict {
  readonly kind: QualityLimit['kind'];
  readonly request: string;
  /** In the limit's own unit: nats per token, percent, or the least cosine similarity of a tensor. */
  readonly limit: number;
  /** What was measured, in the same unit; a cosine similarity is exact, its error 0. */
  readonly measured: Measured;
  /** 95 % interval of the mean: 1.96 standard errors to both sides. */
  readonly interval: readonly [low: number, high: number];
  readonly met: boolean;
}

/** One file that was written and measured. */
export interface QualityAttempt {
  readonly planHash: string;
  readonly bytes: number;
  /** Share of the limits of loss that was planned for. */
  readonly allowance: number;
  readonly verdicts: readonly QualityVerdict[];
}

/** 95 % of a normal distribution lie within so many standard errors. */
const INTERVAL_ERRORS = 1.96;

/** @param leastCosine of all tensors of the written file */
export function judge(
  limits: readonly QualityLimit[],
  evaluation: Pick<Evaluation, 'klNats' | 'logPerplexityRatio'> | null,
  leastCosine: number,
): readonly QualityVerdict[] {
  return limits.map((limit): QualityVerdict => {
    if (limit.kind === 'cosine')
      return verdict(
        limit,
        limit.least,
        { value: leastCosine, standardError: 0 },
        leastCosine >= limit.least,
      );
    if (evaluation === null) throw new Error(`${limit.text} needs an evaluation`);
    if (limit.kind === 'kl') {
      const { mean } = evaluation.klNats;
      return verdict(limit, limit.klNats, mean, mean.value <= limit.klNats);
    }
    const { value, standardError } = evaluation.logPerplexityRatio;
    const percent = { value: 100 * Math.expm1(value), standardError: 100 * Math.exp(value) * standardError };
    return verdict(limit, limit.increasePercent, percent, percent.value <= limit.increasePercent);
  });
}

function verdict(
  { kind, text }: QualityLimit,
  limit: number,
  measured: Measured,
  met: boolean,
): QualityVerdict {
  const reach = INTERVAL_ERRORS * measured.standardError;
  const interval = [measured.value - reach, measured.value + reach] as const;
  return { kind, request: text, limit, measured, interval, met };
}

/**
 * How much of the tightest loss limit is used, by the nats it is about: above 1 it is missed. Null where no loss is limited.
 * A perplexity below the source's uses nothing.
 */
export function usedShare(verdicts: readonly QualityVerdict[]): number | null {
  const shares = verdicts.flatMap(({ kind, measured, limit }) => {
    if (kind === 'cosine') return [];
    if (kind === 'kl') return [measured.value / limit];
    return [Math.max(0, Math.log1p(measured.value / 100) / Math.log1p(limit / 100))];
  });
  return shares.length === 0 ? null : Math.max(...shares);
}
