/** @file What an evolutionary search may be told, and what it does by itself. */
import { BitsmithError } from '@bitsmith/formats';

export interface EvolveOptions {
  /** Plans that live at once; default 20. */
  readonly population?: number;
  /** Default 10. */
  readonly generations?: number;
  /** Chance that a child of two is switched as well, and that a switched one is switched again; default 0.2. */
  readonly mutation?: number;
  /** Chance that a child has two parents; default 0.7. */
  readonly crossover?: number;
  /** Share of the population that is measured on the largest text and always lives on; default 0.1, rounded up. */
  readonly elite?: number;
  /** Plans that one parent is the best of; default 3. */
  readonly tournament?: number;
  /** Different plans measured at most; default 200. */
  readonly maxEvaluations?: number;
  /** Tokens that plans may run over, the last check included; default 1,048,576. */
  readonly searchTokens?: number;
}

export type EvolveSettings = Required<EvolveOptions>;

const defaults: EvolveSettings = {
  population: 20,
  generations: 10,
  mutation: 0.2,
  crossover: 0.7,
  elite: 0.1,
  tournament: 3,
  maxEvaluations: 200,
  searchTokens: 2 ** 20,
};

const leastWhole = {
  population: 2,
  generations: 0,
  tournament: 1,
  maxEvaluations: 1,
  searchTokens: 1,
} as const;

/** @throws BitsmithError `SEARCH_INVALID` */
export function evolveSettings(options: EvolveOptions = {}): EvolveSettings {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const settings: EvolveSettings = { ...defaults, ...Object.fromEntries(given) };
  for (const [name, least] of Object.entries(leastWhole)) {
    const value = settings[name as keyof typeof leastWhole];
    if (!Number.isSafeInteger(value) || value < least)
      throw invalid(name, `a whole number of at least ${least}`, value);
  }
  for (const name of ['mutation', 'crossover', 'elite'] as const) {
    const value = settings[name];
    if (!(value >= 0 && value <= 1)) throw invalid(name, 'a number from 0 to 1', value);
  }
  return settings;
}

function invalid(name: string, expected: string, found: unknown): BitsmithError {
  return new BitsmithError(
    'arguments',
    'SEARCH_INVALID',
    `expected ${expected} as ${name} of the search, found ${String(found)}`,
  );
}
