/** @file How both models continue the same words: equal beginnings in plain, the first difference and all after it marked. */
import type { Evaluation } from '@bitsmith/core';
import { section } from './section.js';
import { oneLine, Paint, type Terminal, truncate, truncateStart } from './terminal.js';

type Sample = NonNullable<Evaluation['sample']>;

export function sampleLines(sample: Sample, terminal: Terminal): string[] {
  const paint = new Paint(terminal);
  const mark = terminal.unicode ? '…' : '...';
  const room = terminal.width - 10;
  const prompt = truncateStart(oneLine(sample.prompt).trim(), terminal.width - 24, mark);
  const source = oneLine(sample.source).trim();
  const output = oneLine(sample.output).trim();
  const title = section('Same words, both models', prompt, terminal);
  if (source === output) return [title, `  ${paint.dim('both')}    ${truncate(source, room, mark)}`];
  const same = commonLength(source, output);
  // A long common beginning would push the difference off the line.
  const skipped = same > room / 2 ? same - Math.floor(room / 4) : 0;
  return [title, line('source', source), line('file', output)];

  function line(label: string, text: string): string {
    const shown = truncate(skipped > 0 ? mark + text.slice(skipped) : text, room, mark);
    const equal = skipped > 0 ? same - skipped + mark.length : same;
    return `  ${paint.dim(label.padEnd(6))}  ${shown.slice(0, equal)}${paint.warning(shown.slice(equal))}`;
  }
}

/** Length of the common beginning, not inside a word. */
function commonLength(a: string, b: string): number {
  let same = 0;
  while (same < a.length && same < b.length && a[same] === b[same]) same++;
  while (same > 0 && same < Math.max(a.length, b.length) && a[same - 1] !== ' ') same--;
  return same;
}
