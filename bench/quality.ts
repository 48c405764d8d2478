/**
 * @file What a plan loses against llama.cpp's presets at the same size: the same source, the same importance matrix, the
 * preset's own file bytes as the budget, the same tokens of the report text, which nothing was tuned on. Losses are paired:
 * both files are scored at the same positions, and the ratio's standard error comes from the spread between chunks.
 */
import { createHash } from 'node:crypto';
import { readFile, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import {
  analyze,
  evaluate,
  finish,
  quantize,
  type RunEvent,
  type ScoredEvaluation,
  type Work,
} from '@bitsmith/core';
import { readGguf, tensorByteLength } from '@bitsmith/formats';
import type { FileType } from '@bitsmith/ggml';
import { openBundled } from './lib/bundled.js';
import { benchFolder, FileInput } from './lib/file.js';
import { Peer } from './lib/peer.js';
import { readFlags, report, type Row, row, say } from './lib/report.js';
import { ratioOfMeans } from './lib/statistics.js';

interface Preset {
  readonly name: FileType;
  readonly judged: boolean;
}

const presets: readonly Preset[] = [
  { name: 'Q2_K', judged: true },
  { name: 'Q3_K_M', judged: true },
  { name: 'Q4_K_M', judged: true },
  { name: 'Q5_K_M', judged: true },
  { name: 'IQ2_XS', judged: false },
  { name: 'IQ3_XXS', judged: false },
  { name: 'Q3_K_S', judged: false },
  { name: 'IQ4_XS', judged: false },
  { name: 'Q6_K', judged: false },
];

const THREADS = 2;

const flags = readFlags(['only']);
const home = await benchFolder('home');
const folder = await benchFolder('quality');
const model = await openBundled();
say('importance matrix and prices of the bundled model ...');
const { importanceMatrixPath } = await run(analyze({ model: model.ggufPath, home, threads: THREADS }));
const peer = new Peer(THREADS);
const rows: Row[] = [];
try {
  const only = flags.values['only'];
  for (const preset of presets) {
    if (only !== undefined && !String(only).split(',').includes(preset.name)) continue;
    rows.push(...(await comparePreset(preset)));
  }
} finally {
  await peer.close();
  await rm(folder, { recursive: true, force: true });
}
await report('quality', rows, flags);

async function comparePreset({ name, judged }: Preset): Promise<Row[]> {
  const theirs = path.join(folder, `${name}.gguf`);
  const ours = path.join(folder, `${name}-bitsmith.gguf`);
  await peer.quantize({
    source: model.ggufPath,
    output: theirs,
    fileType: name,
    importanceMatrixPath,
    threads: THREADS,
  });
  const size = (await stat(theirs)).size;
  const made = await run(
    quantize({ model: model.ggufPath, size, output: ours, home, threads: THREADS, verify: false }),
  );
  await refuseOtherImportance(ours);
  const one = await score(ours);
  const other = await score(theirs);
  const { ratio, standardError } = ratioOfMeans(chunkMeans(one), chunkMeans(other));
  const [ourKl, theirKl] = [one, other].map(({ evaluation }) => evaluation.klNats);
  say(`${name}: ${theirKl.mean.value.toFixed(6)} at ${size} bytes, ours ${ourKl.mean.value.toFixed(6)}`);
  const pair = (metric: string, mine: number, its: number): Row =>
    row({ case: name, metric: `  ${metric}`, ours: mine, peer: its });
  return [
    row({
      case: name,
      metric: 'mean KL, nats a token',
      ours: ourKl.mean.value,
      peer: theirKl.mean.value,
      ratio,
      standardError,
      bar: judged ? { of: 'ratio', most: 1 } : undefined,
    }),
    pair('its standard error', ourKl.mean.standardError, theirKl.mean.standardError),
    pair('99.9 % KL', ourKl.p999, theirKl.p999),
    pair('perplexity', one.evaluation.output.perplexity.value, other.evaluation.output.perplexity.value),
    pair('file bytes', made.output.byteLength, size),
    pair('bits per weight', made.output.bitsPerWeight, await bitsPerWeight(theirs)),
  ];
}

/** The comparison is of plans: both files must come of one importance matrix. */
async function refuseOtherImportance(file: string): Promise<void> {
  const given = createHash('sha256')
    .update(await readFile(importanceMatrixPath))
    .digest('hex');
  const input = await FileInput.open(file);
  try {
    const used = (await readGguf(input)).metadata.get('bitsmith.importance_sha256')?.value;
    if (used !== given) throw new Error(`${file} was made with another importance matrix: ${String(used)}`);
  } finally {
    await input.close();
  }
}

/** Both models on the whole report text. */
async function score(file: string): Promise<ScoredEvaluation> {
  return run(evaluate({ source: model.ggufPath, output: file, home, threads: THREADS }));
}

/** The mean KL of every chunk: positions of one chunk share their context, chunks share nothing. */
function chunkMeans({ evaluation, scores }: ScoredEvaluation): number[] {
  const { chunks } = evaluation.text;
  const perChunk = scores.klNats.length / chunks;
  return Array.from(
    { length: chunks },
    (_, chunk) =>
      scores.klNats.subarray(chunk * perChunk, (chunk + 1) * perChunk).reduce((sum, kl) => sum + kl, 0) /
      perChunk,
  );
}

async function bitsPerWeight(file: string): Promise<number> {
  const input = await FileInput.open(file);
  try {
    const { tensors } = await readGguf(input);
    const bytes = tensors.reduce((sum, { type, shape }) => sum + tensorByteLength(type, shape), 0);
    return (bytes * 8) / model.parameterCount;
  } finally {
    await input.close();
  }
}

/** Runs work to its end; says where it warns. */
async function run<Result>(work: Work<Result>): Promise<Result> {
  return finish(warned(work));
}

async function* warned<Result>(work: Work<Result>): AsyncGenerator<RunEvent, Result, void> {
  for (;;) {
    const step = await work.next();
    if (step.done === true) return step.value;
    if (step.value.type === 'note' && step.value.level === 'warning') say(step.value.message);
    yield step.value;
  }
}
