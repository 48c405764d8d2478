/** @file A search's verdict in a line. */
import type { SearchVerdict } from './search-record.js';
import { SOLVER } from './verdict.js';

export function verdictWords({ taken, seeds, found, difference }: SearchVerdict): string {
  const best = seeds.reduce((least, seed) => (seed.klNats < least.klNats ? seed : least));
  const name = best.name === SOLVER ? "the solver's plan" : `preset ${best.name}`;
  if (found === null || difference === null) return `nothing better than ${name}, which is taken`;
  const percent = (nats: number): string => ((100 * nats) / best.klNats).toFixed(1);
  const change = `${percent(Math.abs(difference.nats))} +- ${percent(difference.standardError)} % ${difference.nats < 0 ? 'less' : 'more'} loss than ${name}`;
  if (taken === 'search') return change;
  const why = difference.nats < 0 ? ', within noise' : '';
  return `${change}${why}: ${name} is taken`;
}
