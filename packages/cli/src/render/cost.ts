/** @file What quantization cost, measured on the written file beside its source. Definitions: `llama-perplexity --kl-divergence`. */
import type { Evaluation, Plan } from '@bitsmith/core';
import { section } from './section.js';
import { oneLine, padEnd, Paint, type Terminal } from './terminal.js';
import { nats, percent, plural, withError } from './units.js';

const labelWidth = 17;

/** The lines of an evaluation; of a plan alone, what it predicts. */
export function costLines(
  evaluation: Evaluation | null,
  plan: Plan | null,
  terminal: Terminal,
  how = 'measured on the file',
): string[] {
  if (evaluation === null) return plan === null ? [] : predictedLines(plan, terminal);
  const { text, klNats } = evaluation;
  const detail = `${how} at ${plural(evaluation.positions, 'position')} of ${oneLine(text.name)}`;
  const paint = new Paint(terminal);
  const sign = terminal.unicode ? '±' : '+-';
  const dot = terminal.unicode ? ' · ' : ', ';
  const tail = [
    `median ${nats(klNats.median)}`,
    `99 % ${nats(klNats.p99)}`,
    `99.9 % ${nats(klNats.p999)}`,
    `max ${nats(klNats.max)} nats`,
  ].join(dot);
  const top = evaluation.sameTopToken;
  const delta = evaluation.rmsDeltaP;
  return [
    section('What it cost', detail, terminal),
    row('perplexity', perplexity(evaluation, terminal)),
    row(
      'KL divergence',
      paint.bold(`mean ${withError(klNats.mean.value, klNats.mean.standardError, sign)} nats per token`),
    ),
    row('', tail),
    ...predictionLine(klNats.mean.value, plan, terminal),
    ...(plan === null ? [] : presetLines(plan, terminal)),
    row(
      'same top token',
      `${withError(top.value * 100, top.standardError * 100, sign)} % of positions${dot}` +
        `RMS ${terminal.unicode ? 'Δp' : 'delta-p'} ${withError(delta.value * 100, delta.standardError * 100, sign)} %`,
    ),
  ];
}

function perplexity(evaluation: Evaluation, terminal: Terminal): string {
  const sign = terminal.unicode ? '±' : '+-';
  const arrow = terminal.unicode ? '→' : '->';
  const { source, output, logPerplexityRatio: ratio } = evaluation;
  const before = withError(source.perplexity.value, source.perplexity.standardError, sign);
  const after = withError(output.perplexity.value, output.perplexity.standardError, sign);
  const change = (Math.exp(ratio.value) - 1) * 100;
  const error = Math.exp(ratio.value) * ratio.standardError * 100;
  return `${before} ${arrow} ${after}   ${change > 0 ? '+' : ''}${withError(change, error, sign)} %`;
}

function predictionLine(measured: number, plan: Plan | null, terminal: Terminal): string[] {
  const predicted = plan?.predicted.klNats ?? 0;
  if (!(predicted > 0)) return [];
  const off = measured / predicted - 1;
  const how =
    Math.abs(off) < 0.005
      ? 'just as measured'
      : `measured ${percent(Math.abs(off), 0)} ${off > 0 ? 'above' : 'below'}`;
  return [row('', new Paint(terminal).dim(`the plan predicted ${nats(predicted)}: ${how}`))];
}

function predictedLines(plan: Plan, terminal: Terminal): string[] {
  const { predicted } = plan;
  if (predicted.klNats === null) return presetLines(plan, terminal);
  const { klLowerBound: bound, gap } = predicted;
  const optimum =
    gap === null || bound === null
      ? []
      : [
          gap < 5e-6
            ? 'no plan within the budget has a lower price (gap 0)'
            : `lowest possible price ${nats(bound)} nats: gap ${percent(gap, 3)} at most`,
        ];
  return [
    section('What it should cost', `${predicted.evidence}, not measured on the file`, terminal),
    row('KL divergence', `${nats(predicted.klNats)} nats per token, the sum of prices: together more`),
    ...optimum.map((text) => row('', new Paint(terminal).dim(text))),
    ...presetLines(plan, terminal),
  ];
}

/** The plan beside llama.cpp's best preset of its size, in the live model. */
function presetLines({ presetFloor: floor }: Plan, terminal: Terminal): string[] {
  if (floor === null) return [];
  const { preset, presetKlNats, planKlNats, winner, tokens } = floor;
  const [lost, ours] = [presetKlNats.value, planKlNats.value].map(nats);
  const less = percent(1 - planKlNats.value / presetKlNats.value, 0);
  const where = new Paint(terminal).dim(`(${plural(tokens, 'token')})`);
  const text =
    winner === 'plan'
      ? `${preset} ${lost} nats, the plan ${ours}: ${less} less ${where}`
      : `${preset} is the plan: ${lost} nats, not ${ours} ${where}`;
  return [row('best preset', text)];
}

function row(label: string, text: string): string {
  return `  ${padEnd(label, labelWidth)}${text}`;
}
