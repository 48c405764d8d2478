/** @file An evaluation on its own: what the file costs against its source, and how both go on from the same words. */
import type { Evaluation } from '@bitsmith/core';
import { costLines } from './cost.js';
import { sampleLines } from './sample.js';
import { fitLine, Paint, type Terminal } from './terminal.js';

export function renderEvaluation(
  evaluation: Evaluation,
  files: { readonly source: string; readonly output: string },
  terminal: Terminal,
): string {
  const paint = new Paint(terminal);
  const head = `${paint.bold(files.output)}  ${paint.dim(`against ${files.source}`)}`;
  const sample = evaluation.sample === null ? [] : ['', ...sampleLines(evaluation.sample, terminal)];
  const lines = [head, '', ...costLines(evaluation, null, terminal), ...sample];
  return `${lines.map((line) => fitLine(line, terminal)).join('\n')}\n`;
}
