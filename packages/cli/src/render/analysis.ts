/** @file How sensitive a model's tensors are: a map by role and block, then the most sensitive ones. */
import type { AnalyzeResult } from '@bitsmith/core';
import { section } from './section.js';
import { type MapCell, stripMap } from './strip-map.js';
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
import { count, integer, percent, significant, withError } from './units.js';

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
    [
      section(
        'Most sensitive',
        `${result.evidence.probe}: nats per token when only this tensor is quantized`,
        screen,
      ),
      ...topLines(result.tensors, screen),
    ],
  ];
  return `${sections.map((lines) => lines.map((line) => fitLine(line, screen)).join('\n')).join('\n\n')}\n`;
}

function headLines(
  { model, calibration, importanceMatrixPath }: AnalyzeResult,
  terminal: Terminal,
): string[] {
  const paint = new Paint(terminal);
  const name = paint.bold(oneLine(model.name));
  const room = terminal.width - 21;
  return [
    `${name}  ${paint.dim(`${model.architecture}, ${count(model.parameterCount)} weights`)}`,
    `  importance matrix  ${truncateStart(importanceMatrixPath, room)}`,
    `  calibrated on      ${truncate(`${oneLine(calibration.dataset)}, ${integer(calibration.tokens)} tokens`, room)}`,
  ];
}

function sensitivityMap(tensors: readonly AnalyzedTensor[], terminal: Terminal): string[] {
  const largest = tensors.reduce((most, { klNats }) => Math.max(most, klNats), 0);
  const content = {
    tensors,
    cell: (members: readonly AnalyzedTensor[]) => sensitivityCell(total(members), largest),
    note: (members: readonly AnalyzedTensor[], room: number) => {
      const weights = count(members.reduce((sum, { elements }) => sum + elements, 0));
      return displayWidth(`${weights} weights`) <= room ? `${weights} weights` : weights;
    },
    figures: (members: readonly AnalyzedTensor[]): [string, string] => [
      shortNats(total(members)),
      percent(members.reduce((sum, { share }) => sum + share, 0)),
    ],
    titles: ['nats', 'share'] as const,
  };
  return stripMap(content, terminal);
}

/** A logarithmic scale: sensitivities differ by orders of magnitude. */
function sensitivityCell(klNats: number, largest: number): MapCell {
  const step = klNats > 0 ? Math.max(0, 9 - Math.round(Math.log2(Math.max(1, largest / klNats)))) : 0;
  return { symbol: String(step), level: Math.min(7, step) };
}

function topLines(tensors: readonly AnalyzedTensor[], terminal: Terminal): string[] {
  const top = tensors
    .toSorted((a, b) => b.klNats - a.klNats || (a.tensor < b.tensor ? -1 : 1))
    .slice(0, topRows);
  const largest = top.at(0)?.klNats ?? 0;
  const paint = new Paint(terminal);
  const sign = terminal.unicode ? '±' : '+-';
  const measured = top.map(({ klNats, standardError }) => `${withError(klNats, standardError, sign)} nats`);
  const measuredWidth = Math.max(0, ...measured.map((text) => displayWidth(text)));
  const width = Math.max(4, terminal.width - nameWidth - measuredWidth - 20);
  return top.map(({ tensor, klNats, share, probeScheme }, index) => {
    const name = padEnd(truncateStart(tensor.replace(/\.weight$/, ''), nameWidth - 1), nameWidth);
    const filled = largest > 0 ? Math.max(1, Math.round((klNats / largest) * width)) : 0;
    const bar = paint.accent((terminal.unicode ? '█' : '#').repeat(filled));
    const figures = `${padStart(percent(share), 7)}  ${padStart(measured[index], measuredWidth)}`;
    return `  ${name}${padEnd(probeScheme, 7)}${figures}  ${bar}`;
  });
}

/** At most eight columns: the map has no more for it. */
function shortNats(value: number): string {
  const text = significant(value, 2);
  return text.length <= 8 ? text : value.toExponential(1);
}

function total(tensors: readonly AnalyzedTensor[]): number {
  return tensors.reduce((sum, { klNats }) => sum + klNats, 0);
}
