/** @file What became of limits to what a file may lose. */
import type { Plan, QuantizeResult } from '@bitsmith/core';
import { oneLine, Paint, type Terminal } from './terminal.js';
import { nats, plural } from './units.js';

type Quality = NonNullable<QuantizeResult['quality']>;
type Verdict = Quality['verdicts'][number];

/** A line for each limit: what the written file has, and how sure that is. */
export function qualityLines({ verdicts, files }: Quality, terminal: Terminal): string[] {
  const paint = new Paint(terminal);
  const looks = files.length > 1 ? paint.dim(`, of ${plural(files.length, 'file')} measured`) : '';
  return verdicts.map((verdict, index) => {
    const { kind, limit, met } = verdict;
    const relation = kind === 'cosine' ? (terminal.unicode ? '≥' : '>=') : terminal.unicode ? '≤' : '<=';
    const found = met ? paint.good(`${valueOf(verdict, verdict.measured.value)}`) : paint.bad('missed');
    const label = index === 0 ? 'quality' : '';
    return `  ${label.padEnd(8)}${names[kind]} ${relation} ${unit(kind, String(limit))}: ${found}${intervalOf(verdict)}${index === 0 ? looks : ''}`;
  });
}

/** What a plan alone knows: the loss on the search text. */
export function plannedQualityLine({ request }: Plan['budget'], quality: Plan['quality']): string[] {
  if (quality === undefined) return [];
  const plans = plural(quality.evaluations, 'plan');
  return [
    `  ${'quality'.padEnd(8)}${oneLine(request)}: ${nats(quality.klNats.value)} on the search text, by ${plans}`,
    `  ${''.padEnd(8)}a file would be measured on other text, and made anew where it misses that`,
  ];
}

const names = { kl: 'KL', perplexity: 'perplexity', cosine: 'cosine' } as const;

function valueOf({ kind }: Verdict, value: number): string {
  return unit(kind, kind === 'kl' ? nats(value) : kind === 'cosine' ? value.toFixed(6) : value.toFixed(3));
}

function unit(kind: Verdict['kind'], value: string): string {
  return kind === 'perplexity' ? `+${value} %`.replace('+-', '-') : value;
}

/** 95 %: 1.96 standard errors to both sides. A cosine similarity is of all weights, without an error. */
function intervalOf(verdict: Verdict): string {
  if (verdict.kind === 'cosine') return ' of the least tensor';
  const [low, high] = verdict.interval;
  return ` (95 %: ${valueOf(verdict, low)} to ${valueOf(verdict, high)})`;
}
