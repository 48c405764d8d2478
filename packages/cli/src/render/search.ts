/** @file How a plan was refined on true loss: what came of it, and what it cost. */
import type { SearchRecord } from '@bitsmith/core';
import { padEnd, Paint, type Terminal } from './terminal.js';
import { bytes, count, nats, percent, plural } from './units.js';

type Verdict = SearchRecord['verdict'];

const labelWidth = 17;

export function searchLines(record: SearchRecord | null, terminal: Terminal): string[] {
  if (record === null) return [];
  const cost = `${howFar(record)}, ${plural(record.evaluations, 'plan')} over ${count(record.tokens)} tokens`;
  return [
    `  ${padEnd(`search ${record.search}`, labelWidth)}${verdict(record, terminal)}`,
    `  ${padEnd('', labelWidth)}${new Paint(terminal).dim(cost)}`,
  ];
}

function howFar(record: SearchRecord): string {
  switch (record.search) {
    case 'evolve':
      return plural(Math.max(0, record.history.length - 1), 'generation');
    case 'gradual': {
      const back = record.path.filter(({ outcome }) => outcome === 'rolled-back').length;
      return `${plural(record.path.length, 'step')}, ${back} rolled back`;
    }
    default:
      return record satisfies never;
  }
}

/** The difference is of the plan found, sequence by sequence, from the best of those that were there before. */
function verdict(record: SearchRecord, terminal: Terminal): string {
  const { taken, seeds, difference, fresh, limit } = record.verdict;
  if (limit !== null) return withinLimit(limit);
  const best = seeds.reduce((least, seed) => (seed.klNats < least.klNats ? seed : least));
  const name = best.name === 'solver' ? "the solver's plan" : `preset ${best.name}`;
  if (difference === null) return `nothing better found: ${name} stays`;
  const sign = terminal.unicode ? '±' : '+-';
  const share = percent(Math.abs(difference.nats) / best.klNats, 1);
  const error = percent(difference.standardError / best.klNats, 1);
  const change = `${share} ${sign} ${error} ${difference.nats < 0 ? 'less' : 'more'} loss than ${name}`;
  const where = fresh ? ' on fresh text' : '';
  return taken === 'search' ? `${change}${where}` : `${change}${where}, which stays`;
}

/** Where loss is limited, the smaller plan is the better. */
function withinLimit({ allowedNats, solverBytes, foundBytes }: NonNullable<Verdict['limit']>): string {
  if (foundBytes === null) return `nothing smaller for ${nats(allowedNats)} nats: the solver's plan stays`;
  const share = percent(1 - foundBytes / solverBytes, 1);
  return `${bytes(solverBytes - foundBytes)} (${share}) smaller than the solver's plan`;
}
