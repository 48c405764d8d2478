/** @file How much of a budget a file takes. */
import type { Plan } from '@bitsmith/core';
import { oneLine, Paint, type Terminal } from './terminal.js';
import { bytes, exactBytes, integer, percent } from './units.js';

export function budgetLine(budget: Plan['budget'], written: number, terminal: Terminal): string {
  const left = budget.bytes - written;
  const text =
    left >= 0
      ? `${percent(written / budget.bytes, 2)} of ${exactBytes(budget.bytes)} used, ${integer(left)} left`
      : new Paint(terminal).bad(`${integer(-left)} bytes above ${exactBytes(budget.bytes)}`);
  return `  ${'budget'.padEnd(8)}${oneLine(budget.request)}: ${text}`;
}

/** What running the file takes: its tensors, and what the context takes besides; nothing where no memory was asked for. */
export function memoryLines({ budget, tensors }: Plan): string[] {
  const { memory } = budget;
  if (memory === undefined) return [];
  const { totalBytes, cacheBytes, computeBytes, contextTokens, keyValueType } = memory;
  const weights = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  return [
    `  ${'memory'.padEnd(8)}${bytes(totalBytes + weights)}: weights ${bytes(weights)}, ${integer(contextTokens)} tokens in ${keyValueType} ${bytes(cacheBytes)}, computing ${bytes(computeBytes)}`,
  ];
}
