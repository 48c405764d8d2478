/** @file Every budget at once: size against predicted loss as a plot, plans at common sizes, and llama.cpp's presets beside the best plans of their bytes. */
import type { ParetoResult } from '@bitsmith/core';
import { plotLines, type PlotPoint } from './plot.js';
import { section } from './section.js';
import { renderTable } from './table.js';
import { fitLine, oneLine, Paint, type Terminal } from './terminal.js';
import { bytes, count, integer, nats, percent, plural, significant } from './units.js';

const widest = 100;
/** Losses below this part of the largest are left out of the plot: there it is all but a vertical line. */
const leastShare = 1e-4;
/** So much above the worst preset a file is of no use, and would only press the rest together. */
const farAbovePresets = 3;

export function renderPareto(result: ParetoResult, terminal: Terminal): string {
  const screen = { ...terminal, width: Math.min(widest, terminal.width) };
  const paint = new Paint(screen);
  const { model } = result;
  const facts = `${model.architecture}, ${count(model.parameterCount)} weights, ${bytes(model.byteLength)} as stored`;
  const sections = [
    [`${paint.bold(oneLine(model.name))}  ${paint.dim(facts)}`],
    [section('Size against loss', howRead(result), screen), ...plot(result, screen)],
    pointLines(result, screen),
    presetLines(result, screen),
    askLines(result, screen),
  ];
  const text = sections.filter((lines) => lines.length > 0);
  return `${text.map((lines) => lines.map((line) => fitLine(line, screen)).join('\n')).join('\n\n')}\n`;
}

/** What the losses are. */
function howRead({ fit }: ParetoResult): string {
  const what = 'estimated KL in nats per token';
  if (fit === null) return `${what}, plain sums of prices`;
  return `${what}, by a fit to ${plural(fit.plans, 'measured plan')}, off by ${percent(fit.relativeError)}`;
}

function plot({ curve, presets }: ParetoResult, terminal: Terminal): string[] {
  const worstPreset = Math.max(0, ...presets.map(({ klNats }) => klNats ?? 0));
  const all = curve.map(({ klNats }) => klNats);
  const most = Math.min(Math.max(0, ...all), worstPreset > 0 ? worstPreset * farAbovePresets : Infinity);
  const isShown = ({ y }: PlotPoint): boolean => y > 0 && y <= most && y >= most * leastShare;
  const marks = presets.flatMap(({ name, bytes: x, klNats }) =>
    klNats === null ? [] : [{ x, y: klNats, label: name }],
  );
  return plotLines(
    {
      curve: curve.map(({ bytes: x, klNats: y }) => ({ x, y })).filter(isShown),
      marks: marks.filter(isShown),
      ticks: { x: roundValues([1, 1.5, 2, 3, 4, 5, 6, 8], 3, 13), y: roundValues([1], -9, 3) },
      format: { x: roundBytes, y: (value) => significant(value, 1) },
    },
    terminal,
  );
}

/** `3 MB`, `1.5 GB`. */
function roundBytes(value: number): string {
  return bytes(value).replace(/\.(\d*?)0+(?= )/, (_, digits: string) => (digits === '' ? '' : `.${digits}`));
}

/** Multiples of powers of ten, ascending. */
function roundValues(multiples: readonly number[], leastPower: number, mostPower: number): number[] {
  const powers = Array.from({ length: mostPower - leastPower + 1 }, (_, index) => leastPower + index);
  return powers.flatMap((power) => multiples.map((multiple) => multiple * 10 ** power));
}

function pointLines({ points, fit }: ParetoResult, terminal: Terminal): string[] {
  const columns = [
    { title: 'b/w', align: 'right' },
    { title: 'file, bytes', align: 'right' },
    { title: 'KL', align: 'right' },
    ...(fit === null ? [] : [{ title: '90 % of plans', align: 'right' } as const]),
  ] as const;
  const rows = points.map(({ bitsPerWeight, bytes: size, klNats, low, high }) => [
    bitsPerWeight.toFixed(2),
    integer(size),
    nats(klNats),
    ...(fit === null ? [] : [low === null || high === null ? '' : `${nats(low)} to ${nats(high)}`]),
  ]);
  const gap = Math.max(0, ...points.map((point) => point.gap));
  const proven = gap < 5e-6 ? 'no plan of these bytes has a lower price' : `gap ${percent(gap, 3)} at most`;
  return [section('Best plans', proven, terminal), ...renderTable(columns, rows, terminal)];
}

function presetLines({ presets }: ParetoResult, terminal: Terminal): string[] {
  if (presets.length === 0) return [];
  const columns = [
    { title: 'preset', align: 'left' },
    { title: 'file, bytes', align: 'right' },
    { title: 'b/w', align: 'right' },
    { title: 'KL', align: 'right' },
    { title: 'best plan', align: 'right' },
    { title: 'change', align: 'right' },
  ] as const;
  const rows = presets.map(({ name, bytes: size, bitsPerWeight, klNats, plan }) => [
    name,
    integer(size),
    bitsPerWeight.toFixed(2),
    klNats === null ? 'not priced' : nats(klNats),
    plan === null ? '' : nats(plan.klNats),
    klNats === null || plan === null || !(klNats > 0) ? '' : percent(plan.klNats / klNats - 1),
  ]);
  return [
    section("llama.cpp's presets", 'beside the best plan within the same bytes', terminal),
    ...renderTable(columns, rows, terminal),
  ];
}

/** How to get any of it. */
function askLines({ model, points }: ParetoResult, terminal: Terminal): string[] {
  const example = points[Math.floor(points.length / 2)]?.bytes ?? model.byteLength;
  const paint = new Paint(terminal);
  return [
    paint.dim('  Any point is a plan of the same options, in a moment, as prices are kept:'),
    `  bitsmith plan ${oneLine(model.location)} --size ${example}`,
  ];
}
