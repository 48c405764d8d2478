/**
 * @file A preset's file and ours of the same size, both written, both scored at the same positions of the report text. Losses are
 * paired: the ratio's standard error comes from the spread between chunks.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { evaluate, type Plan, quantize, type ScoredEvaluation } from '@bitsmith/core';
import { readGguf, tensorByteLength } from '@bitsmith/formats';
import { FileInput } from '../file.js';
import { follow } from '../follow.js';
import type { Peer } from '../peer.js';
import { type Bar, row, type Row, say } from '../report.js';
import { ratioOfMeans } from '../statistics.js';
import type { PresetCase } from './cases.js';
import type { Setting } from './setting.js';

/** Files of one size: what they were compared by, and the plan of ours. */
export interface Compared {
  readonly preset: PresetCase;
  readonly rows: readonly Row[];
  /** Of the preset's file. */
  readonly bytes: number;
  readonly plan: Plan;
}

/** Equal file bytes. */
const BYTES: Bar = { of: 'ratio', least: 0.999, most: 1.001 };

export async function comparePreset(
  on: Setting,
  preset: PresetCase,
  peer: Peer,
  folder: string,
): Promise<Compared> {
  const { name, most } = preset;
  const theirs = path.join(folder, `${name}.gguf`);
  const ours = path.join(folder, `${name}-bitsmith.gguf`);
  say(`${on.about.name}, ${name}:`);
  const seconds = await peer.quantize({
    source: on.model.ggufPath,
    output: theirs,
    fileType: name,
    importanceMatrixPath: on.calibration.path,
    threads: on.job.threads,
  });
  const bytes = (await stat(theirs)).size;
  say(`  llama.cpp: ${bytes.toLocaleString('en')} bytes, ${seconds.toFixed(1)} s`);
  const made = await follow(quantize({ ...on.job, size: bytes, output: ours, verify: false }));
  await refuseOtherImportance(on, ours);
  const tokens = most === null ? on.about.shownTokens : on.about.reportTokens;
  const [one, other] = [await score(on, ours, tokens), await score(on, theirs, tokens)];
  const [ourKl, theirKl] = [one, other].map(({ evaluation }) => evaluation.klNats.mean.value);
  say(`  mean KL ${ourKl.toFixed(6)}, llama.cpp's ${theirKl.toFixed(6)}`);
  const { byteLength, bitsPerWeight } = made.output;
  const rows = rowsOf(`${on.about.name} ${name}`, most, {
    ours: { ...one, byteLength, bitsPerWeight },
    theirs: { ...other, byteLength: bytes, bitsPerWeight: await bitsPerWeightOf(on, theirs) },
  });
  return { preset, rows, bytes, plan: made.plan };
}

interface Scored extends ScoredEvaluation {
  readonly byteLength: number;
  readonly bitsPerWeight: number;
}

function rowsOf(
  about: string,
  most: PresetCase['most'],
  { ours, theirs }: { readonly ours: Scored; readonly theirs: Scored },
): Row[] {
  const { ratio, standardError } = ratioOfMeans(chunkMeans(ours), chunkMeans(theirs));
  const pair = (metric: string, valueOf: (file: Scored) => number, bar?: Bar): Row =>
    row({ case: about, metric: `  ${metric}`, ours: valueOf(ours), peer: valueOf(theirs), bar });
  return [
    row({
      case: about,
      metric: 'mean KL of the file, nats a token',
      ours: ours.evaluation.klNats.mean.value,
      peer: theirs.evaluation.klNats.mean.value,
      ratio,
      standardError,
      bar: most === null ? undefined : { of: 'ratio', most },
    }),
    pair('its standard error', ({ evaluation }) => evaluation.klNats.mean.standardError),
    pair('99.9 % KL', ({ evaluation }) => evaluation.klNats.p999),
    pair('perplexity', ({ evaluation }) => evaluation.output.perplexity.value),
    pair('file bytes', ({ byteLength }) => byteLength, most === null ? undefined : BYTES),
    row({
      case: about,
      metric: "  file bytes less the preset's",
      ours: ours.byteLength - theirs.byteLength,
    }),
    pair('bits per weight', (file) => file.bitsPerWeight),
    row({ case: about, metric: '  positions scored', ours: ours.scores.klNats.length }),
  ];
}

/** The comparison is of plans: both files must come of one importance matrix. */
async function refuseOtherImportance({ calibration }: Setting, file: string): Promise<void> {
  const given = createHash('sha256')
    .update(await readFile(calibration.path))
    .digest('hex');
  const input = await FileInput.open(file);
  try {
    const used = (await readGguf(input)).metadata.get('bitsmith.importance_sha256')?.value;
    if (used !== given) throw new Error(`${file} was made with another importance matrix: ${String(used)}`);
  } finally {
    await input.close();
  }
}

/** Source and file on the report text. */
async function score({ job }: Setting, file: string, tokens: number): Promise<ScoredEvaluation> {
  const { contextTokens, home, threads } = job;
  return follow(evaluate({ source: job.model, output: file, home, threads, contextTokens, tokens }));
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

async function bitsPerWeightOf({ model }: Setting, file: string): Promise<number> {
  const input = await FileInput.open(file);
  try {
    const { tensors } = await readGguf(input);
    const bytes = tensors.reduce((sum, { type, shape }) => sum + tensorByteLength(type, shape), 0);
    return (bytes * 8) / model.parameterCount;
  } finally {
    await input.close();
  }
}
