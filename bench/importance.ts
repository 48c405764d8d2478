/**
 * @file What is known of a tensor's importance, held against the truth: the true loss of every tensor alone in schemes of about
 * 2, 3 and 4 bits, and of whole plans. See `lib/importance/` for each table.
 */
import { inRun, type RunContext, type Work } from '@bitsmith/core';
import { openBundled } from './lib/bundled.js';
import { benchFolder } from './lib/file.js';
import { follow } from './lib/follow.js';
import { allocationRows } from './lib/importance/allocation.js';
import { pairsOf } from './lib/importance/ladder.js';
import { estimateAll } from './lib/importance/methods.js';
import { PlanSpace } from './lib/importance/plans.js';
import { rankingRows, reliabilityRows } from './lib/importance/ranking.js';
import { openSetting, type TextSizes, tokensOf } from './lib/importance/setting.js';
import { pairTruth } from './lib/importance/truth.js';
import { readFlags, report, type Row, say } from './lib/report.js';
import { openSmollm2 } from './lib/smollm2.js';

const THREADS = 2;

const bundledSizes: TextSizes = {
  contextTokens: 256,
  calibrationTokens: 32_768,
  searchTokens: 4096,
  oracleTokens: 4096,
  judgeTokens: 8192,
};
const smollm2Sizes: TextSizes = {
  contextTokens: 256,
  calibrationTokens: 8192,
  searchTokens: 1024,
  oracleTokens: 1024,
  judgeTokens: 2048,
};

const flags = readFlags(['model', 'width']);
const home = await benchFolder('home');
const rows: Row[] = [];
const wanted = flags.values['model'];
if (wanted === undefined || wanted === 'bundled') {
  const { ggufPath } = await openBundled();
  rows.push(...(await measureModel('bundled', ggufPath, bundledSizes)));
}
if (wanted === 'smollm2') {
  say('SmolLM2 ...');
  const width = Number(flags.values['width'] ?? 576);
  const { path, proof } = await openSmollm2(width);
  rows.push(...proof, ...(await measureModel('SmolLM2', path, smollm2Sizes)));
}
await report('importance', rows, flags);

async function measureModel(name: string, location: string, sizes: TextSizes): Promise<Row[]> {
  return follow(inRun({ home, threads: THREADS }, (run) => tables(run, name, location, sizes)));
}

async function* tables(run: RunContext, name: string, location: string, sizes: TextSizes): Work<Row[]> {
  const on = yield* openSetting(run, location, sizes);
  const pairs = pairsOf(on.model);
  const ranked = pairs.filter(({ bits }) => bits !== null);
  const { oracle, judge } = on.texts;
  say(`${name}: ${pairs.length} pairs, ${ranked.length} of them ranked;`);
  say(`  single tensors on ${tokensOf(oracle)} tokens, plans on ${tokensOf(judge)} others`);
  const singles = yield* pairTruth(on, pairs);
  const estimates = yield* estimateAll(on, pairs);
  const space = new PlanSpace(on.model, pairs);
  return [
    ...reliabilityRows(name, ranked, singles),
    ...estimates.flatMap((estimate) => rankingRows(name, estimate, ranked, singles, undefined)),
    ...(yield* allocationRows(
      name,
      on,
      space,
      singles,
      estimates.map((estimate) => ({ estimate })),
    )),
  ];
}
