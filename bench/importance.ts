/**
 * @file What is known of a tensor's importance, held against the truth: the true loss of every tensor alone in schemes of about
 * 2, 3 and 4 bits, and of whole plans. See `lib/importance/` for each table.
 */
import { inRun, type Work } from '@bitsmith/core';
import { openBundled } from './lib/bundled.js';
import { benchFolder } from './lib/file.js';
import { follow } from './lib/follow.js';
import { allocationRows } from './lib/importance/allocation.js';
import { costRows } from './lib/importance/cost.js';
import { pairsOf } from './lib/importance/ladder.js';
import { memoryRows } from './lib/importance/memory.js';
import type { Estimate } from './lib/importance/estimates.js';
import { estimateAll, methodNames } from './lib/importance/methods.js';
import { PlanSpace } from './lib/importance/plans.js';
import { type PredictionBars, predictionRows } from './lib/importance/prediction.js';
import { type RankingBars, rankingRows, reliabilityRows } from './lib/importance/ranking.js';
import { openSetting, type Setting, type TextSizes, tokensOf } from './lib/importance/setting.js';
import { pairTruth } from './lib/importance/truth.js';
import { type Bar, readFlags, report, type Row, row, say } from './lib/report.js';
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
  contextTokens: 128,
  calibrationTokens: 8192,
  searchTokens: 512,
  oracleTokens: 512,
  judgeTokens: 1024,
};
/** Those that run the live model once a tensor or more take long; `--methods` asks for them. */
const smollm2Methods = ['variance', 'activation', 'hessian', 'gradient'].filter((name) =>
  methodNames().includes(name),
);
/** Of the residual stream: rows of 576, the original's, could hold no scheme of about 3 bits. */
const SMOLLM2_WIDTH = 768;

/** What the default method has to reach. */
const rankingBars: RankingBars = {
  all: { of: 'ours', least: 0.99 },
  within: { of: 'ours', least: 0.95 },
  scale: { of: 'ours', least: 0.85, most: 1.15 },
};
const predictionBars: PredictionBars = {
  median: { of: 'ours', most: 0.05 },
  ninetieth: { of: 'ours', most: 0.12 },
  order: { of: 'ours', least: 0.99 },
  coverage: { of: 'ours', least: 0.85, most: 0.95 },
};
const allocationBar: Bar = { of: 'ratio', most: 1.03 };
const JUDGED = 'gradient';

const SAMPLES = 16;

/** Parts of the bench: what estimates are worth, what they cost, and the memory of a large model. */
const parts = ['tables', 'cost', 'memory'] as const;

const flags = readFlags(['model', 'width', 'methods', 'samples', 'tokens', 'only']);
const samples = Number(flags.values['samples'] ?? SAMPLES);
const home = await benchFolder('home');
const rows: Row[] = [];
const wanted = flags.values['model'] ?? 'bundled';
if (wanted === 'bundled') {
  const { ggufPath, metadata } = await openBundled();
  rows.push(...(await measureModel('bundled', ggufPath, bundledSizes, methodNames())));
  if (isWanted('memory')) rows.push(...(await memoryRows(metadata)));
} else if (wanted === 'smollm2') {
  say('SmolLM2 ...');
  const { path, proof } = await openSmollm2(Number(flags.values['width'] ?? SMOLLM2_WIDTH));
  rows.push(...proof, ...(await measureModel('SmolLM2', path, smollm2Sizes, smollm2Methods)));
} else {
  throw new Error(`expected --model bundled or smollm2, found ${String(wanted)}`);
}
await report('importance', rows, flags);

function isWanted(part: (typeof parts)[number]): boolean {
  const only = flags.values['only'];
  return only === undefined || String(only).split(',').includes(part);
}

async function measureModel(
  name: string,
  location: string,
  sizes: TextSizes,
  methods: readonly string[],
): Promise<Row[]> {
  const { methods: asked, tokens } = flags.values;
  const names = asked === undefined ? methods : String(asked).split(',');
  const oracleTokens = tokens === undefined ? sizes.oracleTokens : Number(tokens);
  const { found, importancePath } = await follow(
    inRun({ home, threads: THREADS }, async function* (run) {
      const on = yield* openSetting(run, location, { ...sizes, oracleTokens });
      const found = isWanted('tables') ? yield* tables(on, name, names) : [];
      return { found, importancePath: on.calibration.path };
    }),
  );
  if (!isWanted('cost')) return found;
  const { contextTokens } = sizes;
  return [...found, ...(await costRows({ name, location, importancePath, contextTokens, samples }))];
}

async function* tables(on: Setting, name: string, methods: readonly string[]): Work<Row[]> {
  const pairs = pairsOf(on.model);
  const ranked = pairs.filter(({ bits }) => bits !== null);
  const { oracle, judge } = on.texts;
  say(`${name}: ${pairs.length} pairs, ${ranked.length} of them ranked;`);
  say(`  single tensors on ${tokensOf(oracle)} tokens, plans on ${tokensOf(judge)} others`);
  const estimates = yield* estimateAll(on, pairs, methods, samples);
  const singles = yield* pairTruth(on, pairs);
  const space = new PlanSpace(on.model, pairs);
  const forPlans = estimates.filter(({ knowsSchemes }) => knowsSchemes);
  const judged = <Bars>(bars: Bars, { method }: Estimate): Bars | undefined =>
    method === JUDGED ? bars : undefined;
  return [
    ...textRows(name, on),
    ...reliabilityRows(name, ranked, singles),
    ...estimates.flatMap((estimate) =>
      rankingRows(name, estimate, ranked, singles, judged(rankingBars, estimate)),
    ),
    ...(yield* predictionRows(
      name,
      on,
      space,
      forPlans
        .filter(({ inNats }) => inNats)
        .map((estimate) => ({ estimate, bars: judged(predictionBars, estimate) })),
    )),
    ...(yield* allocationRows(
      name,
      on,
      space,
      singles,
      forPlans.map((estimate) => ({ estimate, bar: judged(allocationBar, estimate) })),
    )),
  ];
}

/** What the tables were measured on. */
function textRows(name: string, { texts }: Setting): Row[] {
  const about = { case: `${name}: texts` };
  return [
    row({ ...about, metric: 'tokens of each single true loss', ours: tokensOf(texts.oracle) }),
    row({ ...about, metric: '  in sequences', ours: texts.oracle.chunks.length }),
    row({ ...about, metric: 'tokens of each true loss of a plan', ours: tokensOf(texts.judge) }),
    row({ ...about, metric: '  in sequences', ours: texts.judge.chunks.length }),
  ];
}
