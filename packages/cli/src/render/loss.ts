/** @file Where a plan's predicted loss sits, and what decided those tensors. */
import type { Plan } from '@bitsmith/core';
import { section } from './section.js';
import type { ReportedTensor } from './tensors.js';
import { oneLine, padEnd, padStart, Paint, type Terminal, truncate, truncateStart } from './terminal.js';
import { nats, percent } from './units.js';

const schemeWidth = 8;
const shareWidth = 7;
const natsWidth = 16;

export function lossLines(
  tensors: readonly ReportedTensor[],
  plan: Plan,
  lines: number,
  terminal: Terminal,
): string[] {
  const priced = tensors.flatMap(({ klNats, ...tensor }) => (klNats === null ? [] : [{ ...tensor, klNats }]));
  const total = priced.reduce((sum, { klNats }) => sum + klNats, 0);
  if (!(total > 0)) return [];
  const paint = new Paint(terminal);
  const mark = terminal.unicode ? '…' : '...';
  const nameWidth = terminal.width < 72 ? 20 : 25;
  const room = terminal.width - 4 - nameWidth - schemeWidth - shareWidth - natsWidth;
  const top = priced.toSorted((a, b) => b.klNats - a.klNats || (a.name < b.name ? -1 : 1)).slice(0, lines);
  return [
    section(
      'Where the loss is',
      `largest shares of ${nats(total)} nats per token, ${plan.predicted.evidence}`,
      terminal,
    ),
    ...top.map((tensor) => {
      const name = padEnd(
        truncateStart(tensor.name.replace(/\.weight$/, ''), nameWidth - 1, mark),
        nameWidth,
      );
      const share = padStart(percent(tensor.klNats / total), shareWidth);
      const reason = room > 10 ? `  ${paint.dim(truncate(oneLine(tensor.reason), room, mark))}` : '';
      return `  ${name}${padEnd(tensor.scheme, schemeWidth)}${share}${padStart(`${nats(tensor.klNats)} nats`, natsWidth)}${reason}`;
    }),
  ];
}
