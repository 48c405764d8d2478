/**
 * @file Makes the rotated SmolLM2 and proves it: logits of the rotated weights in F32 against the original's in F32, the same
 * for the file that is stored (F16), and what became of the 4-bit grid.
 */
import { rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { loadCorpus } from '@bitsmith/core';
import { type Engine, loadEngine } from '@bitsmith/ggml';
import { compareLogits } from './lib/compare-logits.js';
import { gridEvidence } from './lib/grid.js';
import { readFlags, report, type Row, row, say } from './lib/report.js';
import { rewriteModel } from './lib/rotated-model.js';
import { originalSmollm2, smollm2Places, smollm2Rotation } from './lib/smollm2.js';

/** Tokens that both models are run on. */
const TEXT = { chunks: 4, contextTokens: 256 } as const;
const CHARACTERS = 20_000;
/** The tensors that the original stores in 4 bits. */
const QUANTIZED = /^blk\./;

const flags = readFlags(['width']);
const width = Number(flags.values['width'] ?? 576);
const places = await smollm2Places(width);
const engine = loadEngine({ threads: 2 });
const work = path.join(places.folder, `work-${process.pid}`);
const files = { original: `${work}-original.gguf`, exact: `${work}-f32.gguf`, stored: `${work}-f16.gguf` };
try {
  say('downloading SmolLM2 ...');
  const source = await originalSmollm2();
  const rotation = { ...smollm2Rotation, width };
  say('dequantizing and rotating ...');
  await rewriteModel(engine, source, files.original, { type: 'F32', rotation: null });
  await rewriteModel(engine, source, files.exact, { type: 'F32', rotation });
  await rewriteModel(engine, source, files.stored, { type: 'F16', rotation });
  const rows = [...(await functionRows(engine)), ...(await gridRows(engine, source))];
  await rename(files.stored, places.model);
  await report('smollm2', rows, { ...flags, json: flags.json ?? places.proof });
} finally {
  await Promise.all(Object.values(files).map((file) => rm(file, { force: true })));
}

/** The same function, by logits. */
async function functionRows(on: Engine): Promise<Row[]> {
  const text = (await loadCorpus()).search.content.slice(0, CHARACTERS);
  const rows: Row[] = [];
  for (const [name, file, judged] of [
    ['rotated, F32', files.exact, true],
    ['rotated, F16', files.stored, false],
  ] as const) {
    say(`logits of the original and of the ${name} ...`);
    const found = await compareLogits(on, [files.original, file], text, TEXT);
    const about = { case: name };
    rows.push(
      row({
        ...about,
        metric: `largest logit difference; peer: rms logit; ${found.tokens} tokens`,
        ours: found.maxDifference,
        peer: found.rmsLogit,
        bar: judged ? { of: 'ours', most: 0.05 } : undefined,
      }),
      row({
        ...about,
        metric: '  rms logit difference; peer: rms logit',
        ours: found.rmsDifference,
        peer: found.rmsLogit,
      }),
      row({
        ...about,
        metric: '  KL from the original, nats a token',
        ours: found.klNats,
        standardError: found.klStandardError,
        bar: judged ? { of: 'ours', least: -1e-6, most: 1e-6 } : undefined,
      }),
    );
  }
  return rows;
}

/** No grid any more: every weight a value of its own, and 4 bits cost again what they cost. */
async function gridRows(on: Engine, source: string): Promise<Row[]> {
  const before = await gridEvidence(on, source, 'Q4_1', QUANTIZED);
  const after = await gridEvidence(on, files.stored, 'Q4_1', QUANTIZED);
  return [
    row({
      case: 'grid',
      metric: 'distinct values among 32 neighbours, median tensor; peer: original',
      ours: after.distinctValues.median,
      peer: before.distinctValues.median,
    }),
    row({
      case: 'grid',
      metric: '  in the tensor with the fewest',
      ours: after.distinctValues.least,
      peer: before.distinctValues.least,
      bar: { of: 'ours', least: 31 },
    }),
    row({
      case: 'grid',
      metric: `relative error of Q4_1, median tensor; original ${before.relativeError.median.toPrecision(2)}`,
      ours: after.relativeError.median,
    }),
    row({
      case: 'grid',
      metric: '  in the tensor with the least',
      ours: after.relativeError.least,
      bar: { of: 'ours', least: 0.05 },
    }),
  ];
}
