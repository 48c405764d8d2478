/** @file How much of a budget a file takes. */
import type { Plan } from '@bitsmith/core';
import { oneLine, Paint, type Terminal } from './terminal.js';
import { exactBytes, integer, percent } from './units.js';

export function budgetLine(budget: Plan['budget'], written: number, terminal: Terminal): string {
  const left = budget.bytes - written;
  const text =
    left >= 0
      ? `${percent(written / budget.bytes, 2)} of ${exactBytes(budget.bytes)} used, ${integer(left)} left`
      : new Paint(terminal).bad(`${integer(-left)} bytes above ${exactBytes(budget.bytes)}`);
  return `  ${'budget'.padEnd(8)}${oneLine(budget.request)}: ${text}`;
}
