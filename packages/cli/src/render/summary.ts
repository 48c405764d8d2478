/**
 * @file What a finished run shows on a terminal: the file against its budget, what it cost, which tensors got what and
 * why. One screen of 80 columns and 40 lines; a pure function of the result.
 */
import type { QuantizeResult } from '@bitsmith/core';
import { bitsMap, keptLine } from './bits-map.js';
import { budgetLine, memoryLines } from './budget.js';
import { coherenceLines } from './coherence.js';
import { costLines } from './cost.js';
import { equalizationLines } from './equalization.js';
import { liftLines } from './lifts.js';
import { lossLines } from './loss.js';
import { protectionLines } from './protection.js';
import { qualityLines } from './quality.js';
import { sampleLines } from './sample.js';
import { searchLines } from './search.js';
import { section } from './section.js';
import { reportedTensors } from './tensors.js';
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
import { bytes, count, duration, exactBytes, plural } from './units.js';

const widest = 100;
const screenLines = 40;
const fewestLossLines = 2;
const mostLossLines = 6;

export function renderSummary(result: QuantizeResult, terminal: Terminal): string {
  const screen = { ...terminal, width: Math.min(widest, terminal.width) };
  const tensors = reportedTensors(result.plan, result.source.architecture);
  const fixed = [
    headLines(result, screen),
    [
      ...costLines(result.evaluation, result.plan, screen),
      ...coherenceLines(result.coherence, screen),
      ...searchLines(result.search, screen),
      ...protectionLines(result.protection, screen),
      ...liftLines(result.lifts, screen),
    ],
    [
      section(
        'What got what',
        `${result.output.bitsPerWeight.toFixed(2)} bits per weight (b/w); digits are nominal bits`,
        screen,
      ),
      ...bitsMap(tensors, screen),
      ...keptLine(tensors, screen),
    ],
    equalizationLines(result.equalization, screen),
    result.evaluation?.sample ? sampleLines(result.evaluation.sample, screen) : [],
    footLines(result, screen),
  ];
  const used = fixed.reduce((sum, { length }) => sum + (length === 0 ? 0 : length + 1), 0);
  const room = Math.min(mostLossLines, Math.max(fewestLossLines, screenLines - used - 2));
  const sections = [...fixed.slice(0, 3), lossLines(tensors, result.plan, room, screen), ...fixed.slice(3)];
  const text = sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map((line) => fitLine(line, screen)).join('\n'));
  return `${text.join('\n\n')}\n`;
}

function headLines(result: QuantizeResult, terminal: Terminal): string[] {
  const { source, output, plan } = result;
  const paint = new Paint(terminal);
  const times = terminal.unicode ? '×' : 'x';
  const arrow = terminal.unicode ? '→' : '->';
  const facts = `${source.architecture}, ${count(source.parameterCount)} weights  ${arrow}  `;
  const name = truncate(oneLine(source.name), 32);
  const room = terminal.width - displayWidth(name) - displayWidth(facts) - 2;
  const smaller = paint.good(`${result.compressionRatio.toFixed(2)}${times} smaller`);
  return [
    `${paint.bold(name)}  ${paint.dim(facts)}${paint.bold(truncateStart(output.path, room))}`,
    sizeLine('source', source.byteLength, source.byteLength, source.dtype, terminal),
    sizeLine('file', output.byteLength, source.byteLength, smaller, terminal),
    ...(result.quality === null
      ? [budgetLine(plan.budget, output.byteLength, terminal)]
      : qualityLines(result.quality, terminal)),
    ...memoryLines(plan),
  ];
}

const factsWidth = 15;

/** A size as a bar, against the source's. */
function sizeLine(label: string, size: number, whole: number, facts: string, terminal: Terminal): string {
  const paint = new Paint(terminal);
  const sizeWidth = exactBytes(whole).length;
  const width = Math.max(6, terminal.width - 13 - sizeWidth - factsWidth);
  const bar = solidBar(Math.min(1, size / whole), width, terminal);
  return `  ${label.padEnd(8)}${padEnd(paint.accent(bar), width)}  ${padStart(exactBytes(size), sizeWidth)}  ${facts}`;
}

/** A bar exact to an eighth of a column. */
function solidBar(fraction: number, width: number, terminal: Terminal): string {
  if (!terminal.unicode) return '#'.repeat(Math.max(1, Math.round(fraction * width)));
  const eighths = Math.max(1, Math.round(fraction * width * 8));
  return '█'.repeat(Math.floor(eighths / 8)) + ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8];
}

function footLines(result: QuantizeResult, terminal: Terminal): string[] {
  const paint = new Paint(terminal);
  const dot = terminal.unicode ? ' · ' : ', ';
  const mark = terminal.unicode ? '…' : '...';
  const total = result.seconds.total ?? 0;
  // Stages that took no time to speak of would only hide the others.
  const stages = Object.entries(result.seconds).filter(
    ([name, seconds]) => name !== 'total' && seconds >= total / 50,
  );
  const times = stages.map(([name, seconds]) => `${name} ${duration(seconds)}`).join(dot);
  const run = [
    `${bytes(result.peakMemoryBytes)} peak memory`,
    plural(result.threads, 'thread'),
    `seed ${result.seed}`,
    `engine ${result.versions.engine}`,
  ].join(dot);
  const room = terminal.width - 10;
  return [
    `  ${paint.dim('time')}    ${truncate(`${duration(total)}: ${times}`, room, mark)}`,
    `  ${paint.dim('run')}     ${truncate(run, room, mark)}`,
    `  ${paint.dim('record')}  ${truncateStart(result.recordPath, room, mark)}`,
  ];
}
