/** @file Tensors that got more bits because their written error missed its limit. */
import type { QuantizeResult } from '@bitsmith/core';
import { padEnd, type Terminal } from './terminal.js';
import { bytes, plural, significant } from './units.js';

const labelWidth = 17;

export function liftLines(lifts: QuantizeResult['lifts'], terminal: Terminal): string[] {
  if (lifts.length === 0) return [];
  const arrow = terminal.unicode ? '→' : '->';
  const more = lifts.reduce((sum, lift) => sum + lift.bytes, 0);
  const worst = lifts.toSorted((a, b) => b.relativeError - a.relativeError)[0];
  const first = `${worst.tensor} ${worst.from} ${arrow} ${worst.to} (error ${significant(worst.relativeError, 3)})`;
  const others = lifts.length > 1 ? ` and ${plural(lifts.length - 1, 'more step')}` : '';
  return [`  ${padEnd('lifted', labelWidth)}${first}${others}, ${bytes(more)} in all`];
}
