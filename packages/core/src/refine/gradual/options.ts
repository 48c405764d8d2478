/** @file What a gradual descent may be told, and what it does by itself. */
import { BitsmithError } from '@bitsmith/formats';

export interface GradualOptions {
  /** Nominal bits to go down by, from most to least; default 8, 4, 2. Those that no scheme has are passed over. */
  readonly ladder?: readonly number[];
  /** The descent may lose so many times what the budget stands for, until upgrades bring it back; default 2. */
  readonly safetyMultiplier?: number;
  /** Tokens that plans may run over, the last check included; default 524,288. */
  readonly searchTokens?: number;
}

export type GradualSettings = Required<GradualOptions>;

const defaults: GradualSettings = { ladder: [8, 4, 2], safetyMultiplier: 2, searchTokens: 2 ** 19 };

/** @throws BitsmithError `SEARCH_INVALID` */
export function gradualSettings(options: GradualOptions = {}): GradualSettings {
  const { ladder, safetyMultiplier, searchTokens } = {
    ladder: options.ladder ?? defaults.ladder,
    safetyMultiplier: options.safetyMultiplier ?? defaults.safetyMultiplier,
    searchTokens: options.searchTokens ?? defaults.searchTokens,
  };
  const falling = ladder.every((bits, rung) => bits > 0 && (rung === 0 || bits < ladder[rung - 1]));
  if (ladder.length === 0 || !falling)
    throw invalid('the ladder', 'bits that fall, for example 8,4,2', ladder.join(','));
  if (!(safetyMultiplier >= 1 && safetyMultiplier < Infinity))
    throw invalid('the safety multiplier', 'a number of at least 1', safetyMultiplier);
  if (!Number.isSafeInteger(searchTokens) || searchTokens < 1)
    throw invalid('the tokens', 'a whole number of at least 1', searchTokens);
  return { ladder, safetyMultiplier, searchTokens };
}

function invalid(name: string, expected: string, found: unknown): BitsmithError {
  return new BitsmithError(
    'arguments',
    'SEARCH_INVALID',
    `expected ${expected} as ${name} of the search, found ${String(found)}`,
  );
}
