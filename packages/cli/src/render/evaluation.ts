/** @file An evaluation on its own: what the file costs against its source, and how both go on from the same words. */
import type { Evaluation, Int8Evaluation } from '@bitsmith/core';
import { costLines } from './cost.js';
import { equalizationLines } from './equalization.js';
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

const scaleWords: Readonly<Record<Int8Evaluation['activationScales'], string>> = {
  token: 'a scale for each token',
  tensor: 'a scale for each sequence',
  static: 'scales calibrated beforehand',
};

/** A model beside itself in 8 bits. */
export function renderInt8(
  { evaluation, activationScales, equalization }: Omit<Int8Evaluation, 'scores'>,
  model: string,
  terminal: Terminal,
): string {
  const paint = new Paint(terminal);
  const how = `weights and activations in 8 bits, ${scaleWords[activationScales]}`;
  const channels = equalizationLines(equalization, terminal);
  const lines = [
    `${paint.bold(model)}  ${paint.dim(`${how}, against itself in float32`)}`,
    '',
    ...costLines(evaluation, null, terminal, 'computed'),
    ...(channels.length === 0 ? [] : ['', ...channels]),
  ];
  return `${lines.map((line) => fitLine(line, terminal)).join('\n')}\n`;
}
