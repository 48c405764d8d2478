/**
 * @file One candidate for every choice, the least sum of nats, within a number of bytes. This is the
 * multiple-choice knapsack problem. The relaxed problem gives the exchange rate between bytes and nats and a bound; an exact
 * search over what the bound leaves open repairs it. Same input, same answer: there is no clock and no randomness in it.
 */
import { BitsmithError } from '@bitsmith/formats';
import { solveParts } from './knapsack/branch.js';
import { frontierOf, scaled } from './knapsack/frontier.js';
import type { Frontier, KnapsackItem } from './knapsack/frontier.js';

/**
 * Partial plans the exact search may make before it settles for the best found and the bound proven: about 0.1 s. Models of
 * a few hundred tensors hardly ever use it up.
 */
const DEFAULT_WORK_LIMIT = 2_000_000;

/** Anything with candidates: a tensor, or tensors that must share a scheme, with their bytes and nats summed. */
export interface KnapsackChoice {
  readonly candidates: readonly KnapsackItem[];
  /** True where nothing amplifies its error: the output head, unless it is the embedding as well. */
  readonly direct?: boolean;
}

export interface Solution {
  /** Index of the candidate taken, for every choice. */
  readonly picked: readonly number[];
  readonly bytes: number;
  readonly klNats: number;
  /** No plan within the capacity costs less (up to the rounding of sums, about 1 part in 10^12). */
  readonly lowerBound: number;
  /** (klNats - lowerBound) / klNats: 0 when the plan is proven to be the best. */
  readonly gap: number;
  /** The exchange rate at the capacity: nats that one more byte would save. */
  readonly natsPerByte: number;
}

export interface LeastSumOptions {
  /** Partial plans that the exact search may make. */
  readonly workLimit?: number;
  /** A plan that may be near the best, as indices: the search then need not find it. It changes the time alone. */
  readonly known?: readonly number[];
  /** A factor for every choice's nats. */
  readonly weights?: readonly number[];
}

/** Choices made ready, to be solved more than once. */
export interface ReadyChoices {
  readonly choices: readonly KnapsackChoice[];
  readonly frontiers: readonly Frontier[];
  readonly smallestBytes: number;
  /** What all sizes differ by multiples of; 0 where there is but one plan. */
  readonly unitBytes: number;
}

/** @throws BitsmithError `PLAN_CANDIDATES` for a choice without candidates, or with one that has no price */
export function readyChoices(choices: readonly KnapsackChoice[]): ReadyChoices {
  choices.forEach(({ candidates }, choice) => refuseBadCandidates(candidates, choice));
  const frontiers = choices.map(({ candidates }) => frontierOf(candidates));
  const smallestBytes = frontiers.reduce((sum, { bytes }) => sum + bytes[0], 0);
  return { choices, frontiers, smallestBytes, unitBytes: unitOf(frontiers) };
}

/**
 * Picks one candidate a choice so that the bytes fit `capacityBytes` and the nats are least. Ties go to fewer bytes, then to
 * the earlier candidate.
 * @param capacityBytes bytes that all candidates together may take (the file's header not among them)
 * @throws BitsmithError `BUDGET_IMPOSSIBLE` when even the smallest candidates do not fit.
 */
export function leastSum(
  choices: readonly KnapsackChoice[],
  capacityBytes: number,
  options: LeastSumOptions = {},
): Solution {
  return leastSumOf(readyChoices(choices), capacityBytes, options);
}

/** The same, of choices that were made ready before. */
export function leastSumOf(
  ready: ReadyChoices,
  capacityBytes: number,
  options: LeastSumOptions = {},
): Solution {
  const { workLimit = DEFAULT_WORK_LIMIT, known, weights } = options;
  const { choices, smallestBytes, unitBytes } = ready;
  if (!(smallestBytes <= capacityBytes)) {
    throw new BitsmithError(
      'budget-impossible',
      'BUDGET_IMPOSSIBLE',
      `expected at least ${smallestBytes} bytes for the tensors in their smallest schemes, found a budget of ${capacityBytes}`,
      { expected: `${smallestBytes} bytes or more`, found: `${capacityBytes} bytes` },
    );
  }

  const frontiers =
    weights === undefined
      ? ready.frontiers
      : ready.frontiers.map((frontier, choice) => scaled(frontier, weights[choice]));
  // Bytes that no plan can use are left out: a relaxed plan that cannot use them either gives a closer bound.
  const units = unitBytes === 0 ? 0 : Math.floor((capacityBytes - smallestBytes) / unitBytes);
  const start = known === undefined ? null : positionsOf(frontiers, known);
  const capacity = smallestBytes + units * unitBytes;
  const { positions, lowerBound, exact, rate } = solveParts(frontiers, capacity, workLimit, start);
  const picked = frontiers.map(({ index }, choice) => index[positions[choice]]);
  const chosen = picked.map((candidate, choice) => choices[choice].candidates[candidate]);
  const bytes = chosen.reduce((sum, candidate) => sum + candidate.bytes, 0);
  const klNats = chosen.reduce((sum, item, choice) => sum + item.klNats * (weights?.[choice] ?? 1), 0);
  const proven = exact ? klNats : Math.min(lowerBound, klNats);
  const gap = klNats > 0 ? (klNats - proven) / klNats : 0;
  return { picked, bytes, klNats, lowerBound: proven, gap, natsPerByte: rate };
}

/** Where a plan's candidates stand on the frontiers; null where one of them is beaten by another. */
function positionsOf(frontiers: readonly Frontier[], picked: readonly number[]): Int32Array | null {
  const positions = Int32Array.from(frontiers, ({ index }, choice) => index.indexOf(picked[choice]));
  return positions.includes(-1) ? null : positions;
}

/** Sizes differ by multiples of some unit: the alignment at least, often far more. */
function unitOf(frontiers: readonly Frontier[]): number {
  let unit = 0;
  for (const { bytes } of frontiers) {
    for (let position = 1; position < bytes.length; position++) {
      unit = greatestCommonDivisor(unit, bytes[position] - bytes[position - 1]);
    }
  }
  return unit;
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

function refuseBadCandidates(candidates: readonly KnapsackItem[], choice: number): void {
  const bad =
    candidates.length === 0
      ? 'no candidate'
      : candidates.some(
            ({ bytes, klNats }) => !Number.isSafeInteger(bytes) || bytes < 0 || !Number.isFinite(klNats),
          )
        ? 'a candidate whose bytes or nats are not a number'
        : null;
  if (bad === null) return;
  throw new BitsmithError(
    'plan',
    'PLAN_CANDIDATES',
    `expected priced candidates for choice ${choice}, found ${bad}`,
    {
      expected: 'at least one candidate, with whole bytes and finite nats',
      found: bad,
    },
  );
}
