/** @file What protecting super weights bought: the plan with it and without, of the same bytes. */
import type { Protection } from '@bitsmith/core';
import { padEnd, Paint, type Terminal } from './terminal.js';
import { nats, percent, plural } from './units.js';

const labelWidth = 17;

export function protectionLines(found: Protection | null, terminal: Terminal): string[] {
  if (found === null) return [];
  const { tried, superWeights, importantWeights } = found;
  const pays = distinct(tried.filter((each) => each.pays));
  const cost = `${plural(superWeights, 'super weight')} by spikes, ${plural(importantWeights, 'weight')} by importance; ${plural(distinct(tried).length, 'tensor')} tried, a step up and at ${found.bits} bits`;
  return [
    `  ${padEnd('protected', labelWidth)}${outcome(found, pays, terminal)}`,
    `  ${padEnd('', labelWidth)}${new Paint(terminal).dim(cost)}`,
  ];
}

function distinct(tried: Protection['tried']): readonly string[] {
  return [...new Set(tried.map(({ tensor }) => tensor))];
}

function outcome(found: Protection, pays: readonly string[], terminal: Terminal): string {
  const { without, difference, taken, tried } = found;
  if (tried.length === 0) return 'nothing to do: what holds super weights has as many bits already';
  if (without === null || difference === null) return 'no tensor is worth its bytes: the plan is the same';
  const sign = terminal.unicode ? '±' : '+-';
  const share = percent(Math.abs(difference.nats) / without.value, 1);
  const error = percent(difference.standardError / without.value, 1);
  const change = `${share} ${sign} ${error} ${taken ? 'less' : 'more'} loss at the same bytes (${nats(without.value)} nats without)`;
  const [first] = pays;
  const which = pays.length === 1 ? first : `${first} and ${plural(pays.length - 1, 'more', 'more')}`;
  return taken ? `${which}: ${change}` : `${which} would make it ${change}, so that none is`;
}
