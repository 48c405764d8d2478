/** @file An evaluation on its own: what the file costs against its source, and how both go on from the same words. */
import type { Evaluation } from '@bitsmith/core';
import { costLines } from './cost.js';
import { sampleLines } from './sample.js';
import { fitLine, type Terminal } from './terminal.js';

export function renderEvaluation(evaluation: Evaluation, terminal: Terminal): string {
  const sample = evaluation.sample === null ? [] : ['', ...sampleLines(evaluation.sample, terminal)];
  const lines = [...costLines(evaluation, null, terminal), ...sample];
  return `${lines.map((line) => fitLine(line, terminal)).join('\n')}\n`;
}
