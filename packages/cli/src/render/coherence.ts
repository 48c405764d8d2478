/** @file Whether a file still writes text, in a line. */
import type { QuantizeResult } from '@bitsmith/core';
import { padEnd, Paint, type Terminal } from './terminal.js';
import { percent } from './units.js';

const labelWidth = 17;

export function coherenceLines(found: QuantizeResult['coherence'], terminal: Terminal): string[] {
  if (found === null) return [];
  const { agreement, repetition, entropyNats, signs } = found;
  const paint = new Paint(terminal);
  const sign = terminal.unicode ? '±' : '+-';
  const facts = [
    `agrees on ${percent(agreement.value, 0)} ${sign} ${percent(agreement.standardError, 0)}`,
    `repeats ${percent(repetition.output, 0)} (source ${percent(repetition.source, 0)})`,
    `entropy ${entropyNats.output.toFixed(2)} (${entropyNats.source.toFixed(2)}) nats`,
  ].join(', ');
  const line = `  ${padEnd('own text', labelWidth)}${facts}`;
  if (signs.length === 0) return [line];
  return [line, `  ${padEnd('', labelWidth)}${paint.bad(`collapsed: ${signs.join(', ')}`)}`];
}
