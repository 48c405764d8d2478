/** @file How sensitive a model's tensors are: a map by role and block, the most sensitive ones, what mixed precision can gain, single weights. */
import type { AnalyzeResult } from '@bitsmith/core';
import { predictionLines } from './prediction.js';
import { interactionLines } from './interactions.js';
import { section } from './section.js';
import { type MapCell, stripMap } from './strip-map.js';
import { superWeightLines } from './super-weights.js';
import { renderTable } from './table.js';
import {
  displayWidth,
  fitLine,
  oneLine,
  padEnd,
  padStart,
  Paint,
  type Terminal,
  truncate,
  truncateStart,
} from './terminal.js';
import { count, integer, nats, percent, plural, significant, withError } from './units.js';

type AnalyzedTensor = AnalyzeResult['tensors'][number];

const widest = 100;
const topRows = 12;
const nameWidth = 24;

export function renderAnalysis(result: AnalyzeResult, terminal: Terminal): string {
  const screen = { ...terminal, width: Math.min(widest, terminal.width) };
  const sections = [
    headLines(result, screen),
    [
      section('How sensitive', '9 is the most sensitive cell, each step down half of it', screen),
      ...sensitivityMap(result.tensors, screen),
    ],
    [section('Most sensitive', howSure(result, screen), screen), ...topLines(result.tensors, screen)],
    ...(result.gains.length === 0 ? [] : [gainLines(result, screen)]),
    ...(result.prediction === null ? [] : [predictionLines(result.prediction, screen)]),
    ...(result.interactions === null ? [] : [interactionLines(result.interactions, screen)]),
    [
      section('Super weights', 'single weights that may carry the model', screen),
      ...superWeightLines(result.superWeights, screen),
    ],
  ];
  return `${sections.map((lines) => lines.map((line) => fitLine(line, screen)).join('\n')).join('\n\n')}\n`;
}

function headLines(result: AnalyzeResult, terminal: Terminal): string[] {
  const { model, calibration, importanceMatrixPath, text, scoresPath } = result;
  const paint = new Paint(terminal);
  const name = paint.bold(oneLine(model.name));
  const room = terminal.width - 21;
  const measured = `${oneLine(text.name)}, ${plural(text.samples, 'sequence')}, ${integer(text.tokens)} tokens`;
  return [
    `${name}  ${paint.dim(`${model.architecture}, ${count(model.parameterCount)} weights`)}`,
    `  importance matrix  ${truncateStart(importanceMatrixPath, room)}`,
    ...(displayWidth(importanceMatrixPath) > room
      ? [paint.dim(`${' '.repeat(21)}-o FILE puts a copy where you want it`)]
      : []),
    `  calibrated on      ${truncate(`${oneLine(calibration.dataset)}, ${integer(calibration.tokens)} tokens`, room)}`,
    `  measured on        ${truncate(measured, room)}`,
    `  methods            ${truncate(describeMethods(result), room)}`,
    ...(scoresPath === null ? [] : [`  scores             ${truncateStart(scoresPath, room)}`]),
  ];
}

function describeMethods({ methods, methodsLeftOut }: AnalyzeResult): string {
  const several = methods.length > 1;
  const ran = methods.map(({ method, weight }) => (several ? `${method} ${percent(weight, 0)}` : method));
  const left = methodsLeftOut.length === 0 ? '' : `; not here: ${methodsLeftOut.join(', ')}`;
  return ran.join(', ') + left;
}

/** What the figures are, and how far they may be off. */
function howSure({ tensors, medianRelativeError }: AnalyzeResult, terminal: Terminal): string {
  if (tensors.every(({ loss }) => loss === null)) return 'shares of the scores: no method here knows nats';
  const what = 'nats per token with this tensor alone';
  if (medianRelativeError === null) return what;
  return `${what}, ${terminal.unicode ? '±' : '+-'} ${percent(medianRelativeError, 0)} in the median`;
}

/** What mixed precision is expected to gain: whether a plan can pay. */
function gainLines({ gains }: AnalyzeResult, terminal: Terminal): string[] {
  const columns = [
    { title: 'one scheme', align: 'left' },
    { title: 'bits per weight', align: 'right' },
    { title: 'its loss', align: 'right' },
    { title: 'mixed loss', align: 'right' },
    { title: 'change', align: 'right' },
  ] as const;
  const rows = gains.map(({ uniformScheme, bitsPerWeight, uniformKlNats, mixedKlNats, ratio }) => [
    uniformScheme,
    bitsPerWeight.toFixed(2),
    `${nats(uniformKlNats)} nats`,
    `${nats(mixedKlNats)} nats`,
    percent(ratio - 1),
  ]);
  return [
    section('Mixed precision', 'estimated, against one scheme for all tensors at equal bytes', terminal),
    ...renderTable(columns, rows, terminal),
  ];
}

function sensitivityMap(tensors: readonly AnalyzedTensor[], terminal: Terminal): string[] {
  const largest = tensors.reduce((most, { share }) => Math.max(most, share), 0);
  const content = {
    tensors,
    cell: (members: readonly AnalyzedTensor[]) => sensitivityCell(shareOf(members), largest),
    note: (members: readonly AnalyzedTensor[], room: number) => {
      const weights = count(members.reduce((sum, { elements }) => sum + elements, 0));
      return displayWidth(`${weights} weights`) <= room ? `${weights} weights` : weights;
    },
    figures: (members: readonly AnalyzedTensor[]): [string, string] => [
      shortNats(lossOf(members)),
      percent(shareOf(members)),
    ],
    titles: ['nats', 'share'] as const,
  };
  return stripMap(content, terminal);
}

/** A logarithmic scale: sensitivities differ by orders of magnitude. */
function sensitivityCell(share: number, largest: number): MapCell {
  const step = share > 0 ? Math.max(0, 9 - Math.round(Math.log2(Math.max(1, largest / share)))) : 0;
  return { symbol: String(step), level: Math.min(7, step) };
}

function topLines(tensors: readonly AnalyzedTensor[], terminal: Terminal): string[] {
  const top = tensors
    .toSorted((a, b) => b.share - a.share || (a.tensor < b.tensor ? -1 : 1))
    .slice(0, topRows);
  const largest = top.at(0)?.share ?? 0;
  const paint = new Paint(terminal);
  const sign = terminal.unicode ? '±' : '+-';
  const losses = top.map(({ loss }) =>
    loss === null ? '' : `${withError(loss.klNats, loss.standardError ?? 0, sign)} nats`,
  );
  const lossWidth = Math.max(0, ...losses.map((text) => displayWidth(text)));
  const width = Math.max(4, terminal.width - nameWidth - lossWidth - 20);
  return top.map(({ tensor, loss, share }, index) => {
    const name = padEnd(truncateStart(tensor.replace(/\.weight$/, ''), nameWidth - 1), nameWidth);
    const filled = largest > 0 ? Math.max(1, Math.round((share / largest) * width)) : 0;
    const bar = paint.accent((terminal.unicode ? '█' : '#').repeat(filled));
    const figures = `${padStart(percent(share), 7)}  ${padStart(losses[index], lossWidth)}`;
    return `  ${name}${padEnd(loss?.scheme ?? '', 7)}${figures}  ${bar}`;
  });
}

/** At most eight columns: the map has no more for it. */
function shortNats(value: number | null): string {
  if (value === null) return '';
  const text = significant(value, 2);
  return text.length <= 8 ? text : value.toExponential(1);
}

function shareOf(tensors: readonly AnalyzedTensor[]): number {
  return tensors.reduce((sum, { share }) => sum + share, 0);
}

/** Null where no tensor has a loss in nats. */
function lossOf(tensors: readonly AnalyzedTensor[]): number | null {
  const known = tensors.flatMap(({ loss }) => (loss === null ? [] : [loss.klNats]));
  return known.length === 0 ? null : known.reduce((sum, klNats) => sum + klNats, 0);
}
