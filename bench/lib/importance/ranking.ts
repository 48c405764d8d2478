/** @file How well each method orders tensors and schemes, and whether its nats are nats: against true losses one at a time. */
import { type Bar, row, type Row } from '../report.js';
import { mean, median, spearman } from '../statistics.js';
import { type Estimate, valueOf } from './estimates.js';
import type { Pair } from './ladder.js';
import { errorOverSequences, lossOf, type Truth } from './truth.js';

/** What the default method has to reach. */
export interface RankingBars {
  readonly all: Bar;
  readonly within: Bar;
  readonly scale: Bar;
}

/**
 * Rows of one method.
 * @param all every pair with a true loss; those of a width are ranked
 * @param detail the scale of every role besides that of every scheme
 */
export function rankingRows(
  name: string,
  estimate: Estimate,
  all: readonly Pair[],
  truth: Truth,
  { bars, detail }: { readonly bars?: RankingBars; readonly detail: boolean },
): Row[] {
  const about = `${name}: ${estimate.method}`;
  // A method of blocks says nothing of what stands outside of them.
  const pairs = all.filter(({ id, bits }) => bits !== null && estimate.values.has(id));
  const rows: Row[] = [];
  if (estimate.knowsSchemes) rows.push(orderRow(about, 'all pairs', estimate, pairs, truth, bars?.all));
  for (const bits of widthsOf(pairs)) {
    const members = pairs.filter((pair) => pair.bits === bits);
    rows.push(orderRow(about, `within ${bits} bits`, estimate, members, truth, bars?.within));
  }
  if (estimate.knowsSchemes) rows.push(spreadRow(about, estimate, pairs, truth));
  if (!estimate.inNats) return rows;
  rows.push(scaleRow(about, 'median pair', estimate, pairs, truth, bars?.scale));
  for (const scheme of new Set(all.map((pair) => pair.scheme))) {
    const members = all.filter((pair) => pair.scheme === scheme && truth.has(pair.id));
    rows.push(scaleRow(about, scheme, estimate, members, truth));
  }
  if (!detail) return rows;
  for (const role of new Set(pairs.map(({ tensor }) => tensor.role))) {
    const members = pairs.filter(({ tensor }) => tensor.role === role);
    rows.push(scaleRow(about, role, estimate, members, truth));
  }
  return rows;
}

/** How well one half of the text's sequences orders the pairs as the other half does: no method can be told to be better. */
export function reliabilityRows(name: string, pairs: readonly Pair[], truth: Truth): Row[] {
  const half = (of: readonly Pair[], parity: number): number[] =>
    of.map(({ id }) => {
      const losses = lossOf(truth, id).sequenceKlNats.filter((_, index) => index % 2 === parity);
      return losses.reduce((sum, value) => sum + value, 0) / losses.length;
    });
  const rowOf = (label: string, members: readonly Pair[]): Row =>
    row({
      case: `${name}: the truth itself`,
      metric: `Spearman of two halves of its text, ${label}`,
      ours: spearman(half(members, 0), half(members, 1)),
    });
  const widths = widthsOf(pairs).map((bits) =>
    rowOf(
      `within ${bits} bits`,
      pairs.filter((pair) => pair.bits === bits),
    ),
  );
  return [rowOf('all pairs', pairs), ...widths];
}

function widthsOf(pairs: readonly Pair[]): number[] {
  return [...new Set(pairs.flatMap(({ bits }) => (bits === null ? [] : [bits])))].sort((a, b) => a - b);
}

function orderRow(
  about: string,
  label: string,
  estimate: Estimate,
  pairs: readonly Pair[],
  truth: Truth,
  bar: Bar | undefined,
): Row {
  const ids = pairs.map(({ id }) => id);
  const estimated = pairs.map((pair) => valueOf(estimate, pair));
  const of = (klNats: readonly number[]): number => spearman(estimated, klNats);
  return row({
    case: about,
    metric: `Spearman, ${label} (${pairs.length})`,
    ours: of(ids.map((id) => lossOf(truth, id).klNats)),
    standardError: errorOverSequences(truth, ids, of),
    bar,
  });
}

/** What is left of the differences when all estimates are multiplied by one number. */
function spreadRow(about: string, estimate: Estimate, pairs: readonly Pair[], truth: Truth): Row {
  const ids = pairs.map(({ id }) => id);
  const of = (klNats: readonly number[]): number => {
    const logs = pairs.map((pair, index) => Math.log(valueOf(estimate, pair) / klNats[index]));
    const centre = mean(logs);
    return Math.sqrt(mean(logs.map((value) => (value - centre) ** 2)));
  };
  return row({
    case: about,
    metric: `rms of ln(estimated / true) after one scale (${pairs.length})`,
    ours: of(ids.map((id) => lossOf(truth, id).klNats)),
    standardError: errorOverSequences(truth, ids, of),
  });
}

function scaleRow(
  about: string,
  label: string,
  estimate: Estimate,
  pairs: readonly Pair[],
  truth: Truth,
  bar?: Bar,
): Row {
  const ids = pairs.map(({ id }) => id);
  const of = (klNats: readonly number[]): number =>
    median(pairs.map((pair, index) => valueOf(estimate, pair) / klNats[index]));
  return row({
    case: about,
    metric: `estimated over true nats, ${label} (${pairs.length})`,
    ours: of(ids.map((id) => lossOf(truth, id).klNats)),
    standardError: errorOverSequences(truth, ids, of),
    bar,
  });
}
