/** @file A plan before anything is written: the size it will have, what it should cost, which tensors get what and why. */
import type { PlanResult } from '@bitsmith/core';
import { bitsMap, keptLine } from './bits-map.js';
import { budgetLine, memoryLines } from './budget.js';
import { costLines } from './cost.js';
import { equalizationLines } from './equalization.js';
import { lossLines } from './loss.js';
import { protectionLines } from './protection.js';
import { plannedQualityLine } from './quality.js';
import { searchLines } from './search.js';
import { section } from './section.js';
import { reportedTensors } from './tensors.js';
import { fitLine, oneLine, Paint, type Terminal } from './terminal.js';
import { exactBytes } from './units.js';

const widest = 100;
const lossRows = 12;

export function renderPlan(plan: PlanResult, terminal: Terminal): string {
  const screen = { ...terminal, width: Math.min(widest, terminal.width) };
  const paint = new Paint(screen);
  const tensors = reportedTensors(plan, '');
  const weights = tensors.reduce((sum, tensor) => sum + tensor.weights, 0);
  const bits = (tensors.reduce((sum, tensor) => sum + tensor.bytes, 0) * 8) / weights;
  const sections = [
    [
      `${paint.bold(oneLine(plan.source.name))}  ${paint.dim(`plan ${plan.hash.slice(0, 12)}`)}`,
      `  ${'file'.padEnd(8)}${paint.bold(exactBytes(plan.predicted.bytes))}, exactly`,
      ...(plan.quality === undefined
        ? [budgetLine(plan.budget, plan.predicted.bytes, screen)]
        : plannedQualityLine(plan.budget, plan.quality)),
      ...memoryLines(plan),
    ],
    [
      ...costLines(null, plan, screen),
      ...searchLines(plan.search, screen),
      ...protectionLines(plan.protection, screen),
    ],
    [
      section('What gets what', `${bits.toFixed(2)} bits per weight (b/w); digits are nominal bits`, screen),
      ...bitsMap(tensors, screen),
      ...keptLine(tensors, screen),
    ],
    lossLines(tensors, plan, lossRows, screen),
    equalizationLines(plan.equalization, screen),
  ];
  const text = sections.filter((lines) => lines.length > 0);
  return `${text.map((lines) => lines.map((line) => fitLine(line, screen)).join('\n')).join('\n\n')}\n`;
}
