/** @file Where a plan's predicted loss sits, and what decided those tensors. */
import type { Plan } from '@bitsmith/core';
import { section } from './section.js';
import type { ReportedTensor } from './tensors.js';
import {
  displayWidth,
  oneLine,
  padEnd,
  padStart,
  Paint,
  type Terminal,
  truncate,
  truncateStart,
} from './terminal.js';
import { integer, nats, percent, significant } from './units.js';

const widestName = 28;

/** The tensors that lose most, as many as `lines`, under a heading. */
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
  const top = priced.toSorted((a, b) => b.klNats - a.klNats || (a.name < b.name ? -1 : 1)).slice(0, lines);
  const rows = top.map((tensor) => ({
    name: truncateStart(tensor.name.replace(/\.weight$/, ''), widestName, mark),
    scheme: tensor.scheme,
    share: percent(tensor.klNats / total),
    reason: briefReason(tensor),
  }));
  const nameWidth = Math.max(...rows.map(({ name }) => displayWidth(name)));
  const schemeWidth = Math.max(...rows.map(({ scheme }) => scheme.length));
  const shareWidth = Math.max(...rows.map(({ share }) => share.length));
  const room = terminal.width - 8 - nameWidth - schemeWidth - shareWidth;
  return [
    section(
      'Where the loss is',
      `${plan.predicted.evidence} shares of ${nats(total)} nats per token, and what decided`,
      terminal,
    ),
    ...rows.map(({ name, scheme, share, reason }) => {
      const head = `  ${padEnd(name, nameWidth)}  ${padEnd(scheme, schemeWidth)}  ${padStart(share, shareWidth)}`;
      return room > 10 ? `${head}  ${paint.dim(truncate(reason, room, mark))}` : head;
    }),
  ];
}

/** Most tensors were decided by price: what the next better scheme would buy says so in fewer words. */
function briefReason({ decidedBy, up }: Pick<ReportedTensor, 'decidedBy' | 'up'>): string {
  const next =
    up === null || up.klNats === null
      ? null
      : `${up.scheme} saves ${significant(-up.klNats, 2)} nats for ${integer(up.bytes)} bytes`;
  if (decidedBy.kind === 'price') return next ?? 'nothing would lose less';
  return oneLine(decidedBy.note);
}
