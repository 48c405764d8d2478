/** @file What whole plans are expected to lose, at common sizes. */
import type { AnalyzeResult } from '@bitsmith/core';
import { section } from './section.js';
import { renderTable } from './table.js';
import type { Terminal } from './terminal.js';
import { nats, percent, plural } from './units.js';

export function predictionLines(
  { fit, sizes }: NonNullable<AnalyzeResult['prediction']>,
  terminal: Terminal,
): string[] {
  const columns = [
    { title: 'bits per weight', align: 'right' },
    { title: 'loss', align: 'right' },
    { title: '90 % of plans', align: 'right' },
  ] as const;
  const rows = sizes.map(({ bitsPerWeight, klNats, low, high }) => [
    bitsPerWeight.toFixed(1),
    `${nats(klNats)} nats`,
    `${nats(low)} to ${nats(high)}`,
  ]);
  const measured = `by a fit to ${plural(fit.plans, 'measured plan')}, off by ${percent(fit.relativeError)} for plans left out of it`;
  return [section('Best plans', measured, terminal), ...renderTable(columns, rows, terminal)];
}
