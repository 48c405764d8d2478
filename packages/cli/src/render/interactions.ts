/** @file Whether tensors interact: whether the loss of two together is other than the sum of both. */
import type { AnalyzeResult } from '@bitsmith/core';
import { section } from './section.js';
import { renderTable } from './table.js';
import type { Terminal } from './terminal.js';
import { integer, plural, significant } from './units.js';

const rowsShown = 5;

export function interactionLines(
  audit: NonNullable<AnalyzeResult['interactions']>,
  terminal: Terminal,
): string[] {
  const { found, pairs, sequences, correlation, noiseFloor, reproducibility } = audit;
  const heading = section(
    'Interactions',
    `${integer(pairs)} pairs of tensors on ${plural(sequences, 'sequence')}`,
    terminal,
  );
  const size = `correlation ${significant(correlation, 2)}, by chance ${significant(noiseFloor, 2)}, reproducible ${significant(reproducibility, 2)}`;
  if (found.length === 0) return [heading, '  no pair beyond chance', `  ${size}`];
  const columns = [
    { title: 'tensor', align: 'left', flexible: true },
    { title: 'with', align: 'left' },
    { title: 'correlation', align: 'right' },
    { title: 'standard errors', align: 'right' },
  ] as const;
  const rows = found
    .slice(0, rowsShown)
    .map(({ tensors: [one, other], correlation: strength, deviations }) => [
      one,
      other,
      significant(strength, 2),
      deviations.toFixed(1),
    ]);
  return [
    heading,
    ...renderTable(columns, rows, terminal),
    `  ${plural(found.length, 'pair')} beyond chance; ${size}`,
  ];
}
