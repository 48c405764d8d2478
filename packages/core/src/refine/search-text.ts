/**
 * @file How a search divides its text: parts that plans are selected on, each adding to those before, and chunks that nothing was
 * selected on. The best of many measured plans owes part of its lead to chance (the winner's curse); on fresh text it does not.
 */
import { spreadOrder } from '../text/spread-order.js';
import type { TokenizedText } from '../text/tokenize.js';

/** Tokens that plans have been measured on when they have passed each level. */
const LEVEL_TOKENS = [2048, 16_384, 65_536];
/** A level that adds less than this to what came before tells nothing new. */
const LEAST_GROWTH = 1.25;
const MOST_CHECK_TOKENS = 65_536;
/** Fewer sequences than this give no error of a difference to rely on. */
const LEAST_CHECK_CHUNKS = 6;

export interface SearchText {
  /** Disjoint parts for selection, the smallest first. */
  readonly levels: readonly TokenizedText[];
  /** Disjoint from all levels; null where the text is too short to spare any. */
  readonly check: TokenizedText | null;
}

/** What a search can afford, in tokens. */
export interface TextLimits {
  /** Of the first level, which every plan runs over. */
  readonly first: number;
  /** Of all levels together, and of the check. */
  readonly whole: number;
}

const noLimits: TextLimits = { first: Infinity, whole: Infinity };

/** Half of the text, at most, is kept for the check. All parts are spread over the text, and have a chunk at least. */
export function divideSearchText(text: TokenizedText, limits: TextLimits = noLimits): SearchText {
  const order = spreadOrder(text.chunks.length);
  const chunksFor = (tokens: number): number => Math.max(1, Math.floor(tokens / text.contextTokens));
  const half = Math.floor(order.length / 2);
  const checked = Math.min(half, chunksFor(Math.min(MOST_CHECK_TOKENS, limits.whole)));
  const check = checked < LEAST_CHECK_CHUNKS ? 0 : checked;
  const available = Math.min(order.length - check, chunksFor(limits.whole));
  const levels: TokenizedText[] = [];
  let used = 0;
  for (const tokens of LEVEL_TOKENS) {
    const upTo = Math.min(available, chunksFor(used === 0 ? Math.min(tokens, limits.first) : tokens));
    if (used > 0 && upTo < used * LEAST_GROWTH) break;
    levels.push(partOf(text, order.slice(used, upTo)));
    used = upTo;
  }
  return { levels, check: check === 0 ? null : partOf(text, order.slice(order.length - check)) };
}

function partOf(text: TokenizedText, indices: readonly number[]): TokenizedText {
  return { ...text, chunks: indices.toSorted((a, b) => a - b).map((index) => text.chunks[index]) };
}
