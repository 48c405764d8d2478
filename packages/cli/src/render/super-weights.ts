/** @file Single weights that may carry a model: those between activation spikes, and those of most importance. */
import type { SuperWeights } from '@bitsmith/core';
import { renderTable } from './table.js';
import { Paint, type Terminal } from './terminal.js';
import { integer, nats, percent, plural, significant } from './units.js';

const rowsEach = 5;

export function superWeightLines(found: SuperWeights, terminal: Terminal): string[] {
  return [...spikeLines(found, terminal), ...importantLines(found, terminal)];
}

function spikeLines({ candidates, missing }: SuperWeights, terminal: Terminal): string[] {
  if (missing !== null) return [`  by activation spikes: ${missing}`];
  const spikes = candidates.filter(({ found }) => found);
  if (spikes.length === 0) {
    return [`  by activation spikes: none in ${plural(candidates.length, 'projection')}`];
  }
  const columns = [
    { title: 'by activation spikes', align: 'left', flexible: true },
    { title: 'row', align: 'right' },
    { title: 'column', align: 'right' },
    { title: 'value', align: 'right' },
    { title: 'of the spike', align: 'right' },
    { title: 'loss without it', align: 'right' },
  ] as const;
  const rows = spikes
    .toSorted((a, b) => b.outputProminence - a.outputProminence)
    .slice(0, rowsEach)
    .map(({ tensor, row, column, weight, contribution, klNats }) => [
      tensor,
      integer(row),
      integer(column),
      significant(weight, 3),
      percent(contribution, 0),
      klNats === null ? '' : `${nats(klNats)} nats`,
    ]);
  return renderTable(columns, rows, terminal);
}

function importantLines({ important, count, counts, coverage }: SuperWeights, terminal: Terminal): string[] {
  const columns = [
    { title: 'by importance', align: 'left', flexible: true },
    { title: 'row', align: 'right' },
    { title: 'column', align: 'right' },
    { title: 'value', align: 'right' },
    { title: 'importance', align: 'right' },
  ] as const;
  const rows = important
    .slice(0, rowsEach)
    .map(({ tensor, row, column, value, importance }) => [
      tensor,
      integer(row),
      integer(column),
      significant(value, 3),
      significant(importance, 3),
    ]);
  const share = percent(coverage, Math.max(0, -Math.floor(Math.log10(coverage)) - 2));
  const note = `  the first of ${plural(count, 'weight')} (${share}), in ${plural(Object.keys(counts).length, 'tensor')}`;
  return [...renderTable(columns, rows, terminal), new Paint(terminal).dim(note)];
}
