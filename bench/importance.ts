/**
 * @file What is known of a tensor's importance, held against the truth: the true loss of every tensor alone in schemes of about
 * 2, 3 and 4 bits, and of whole plans. See `lib/importance/` for each table.
 */
import { inRun, tokensOf, type Work } from '@bitsmith/core';
import { openBundled } from './lib/bundled.js';
import { benchFolder } from './lib/file.js';
import { follow } from './lib/follow.js';
import { allocationRows } from './lib/importance/allocation.js';
import { costRows } from './lib/importance/cost.js';
import { type Pair, pairsOf } from './lib/importance/ladder.js';
import { memoryRows } from './lib/importance/memory.js';
import type { Estimate } from './lib/importance/estimates.js';
import { estimateAll, methodNames } from './lib/importance/methods.js';
import { PlanSpace } from './lib/importance/plans.js';
import { type PredictionBars, predictionRows } from './lib/importance/prediction.js';
import { type RankingBars, rankingRows, reliabilityRows } from './lib/importance/ranking.js';
import { openSetting, type Setting, type TextSizes } from './lib/importance/setting.js';
import { lossOf, pairTruth, type Truth, withScaled } from './lib/importance/truth.js';
import { type Bar, readFlags, report, type Row, row, say } from './lib/report.js';
import { openSmollm2 } from './lib/smollm2.js';
import { percentile } from './lib/statistics.js';

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

/** What estimates say of single tensors and of whole plans, what they cost, and the memory of a large model. */
type Part = 'tensors' | 'plans' | 'cost' | 'memory';

interface ModelCase {
  readonly name: string;
  readonly sizes: TextSizes;
  readonly methods: readonly string[];
  /** False: true losses of the schemes that only plans use follow from the others'. */
  readonly measureAll: boolean;
}

const bundled: ModelCase = { name: 'bundled', sizes: bundledSizes, methods: methodNames(), measureAll: true };
const smollm2: ModelCase = {
  name: 'SmolLM2',
  sizes: smollm2Sizes,
  // Those that run the live model once a tensor or more take long; `--methods` asks for them.
  methods: methodNames().filter((name) => ['variance', 'activation', 'hessian', 'gradient'].includes(name)),
  measureAll: false,
};

const flags = readFlags(['model', 'width', 'methods', 'samples', 'tokens', 'only']);
const samples = Number(flags.values['samples'] ?? SAMPLES);
const home = await benchFolder('home');
const rows: Row[] = [];
const wanted = flags.values['model'] ?? 'bundled';
if (wanted === 'bundled') {
  const { ggufPath, metadata } = await openBundled();
  rows.push(...(await measureModel(bundled, ggufPath)));
  if (isWanted('memory')) rows.push(...(await memoryRows(metadata)));
} else if (wanted === 'smollm2') {
  say('SmolLM2 ...');
  const { path, proof } = await openSmollm2(Number(flags.values['width'] ?? SMOLLM2_WIDTH));
  rows.push(...proof, ...(await measureModel(smollm2, path)));
} else {
  throw new Error(`expected --model bundled or smollm2, found ${String(wanted)}`);
}
await report('importance', rows, flags);

function isWanted(part: Part): boolean {
  const only = flags.values['only'];
  return only === undefined || String(only).split(',').includes(part);
}

async function measureModel(model: ModelCase, location: string): Promise<Row[]> {
  const { methods, tokens } = flags.values;
  const asked: ModelCase = {
    ...model,
    methods: methods === undefined ? model.methods : String(methods).split(','),
  };
  const { contextTokens, oracleTokens } = model.sizes;
  const sizes = { ...model.sizes, oracleTokens: tokens === undefined ? oracleTokens : Number(tokens) };
  const { found, importancePath } = await follow(
    inRun({ home, threads: THREADS }, async function* (run) {
      const on = yield* openSetting(run, location, sizes);
      const found = isWanted('tensors') || isWanted('plans') ? yield* tables(on, asked) : [];
      return { found, importancePath: on.calibration.path };
    }),
  );
  if (!isWanted('cost')) return found;
  const { name } = model;
  return [...found, ...(await costRows({ name, location, importancePath, contextTokens, samples }))];
}

async function* tables(on: Setting, { name, methods, measureAll }: ModelCase): Work<Row[]> {
  const pairs = pairsOf(on.model);
  const ranked = pairs.filter(({ bits }) => bits !== null);
  const { oracle, judge } = on.texts;
  say(`${name}: ${pairs.length} pairs, ${ranked.length} of them ranked;`);
  say(`  single tensors on ${tokensOf(oracle)} tokens, plans on ${tokensOf(judge)} others`);
  const estimates = yield* estimateAll(on, pairs, methods, samples);
  const measured = yield* pairTruth(on, measureAll ? pairs : ranked);
  const [errors] = yield* estimateAll(on, pairs, ['activation'], samples);
  const singles = withScaled(measured, pairs, errors.values);
  const space = new PlanSpace(on.model, pairs);
  const forPlans = estimates.filter(({ knowsSchemes }) => knowsSchemes);
  const judged = <Bars>(bars: Bars, { method }: Estimate): Bars | undefined =>
    method === JUDGED ? bars : undefined;
  const ofTensors = [
    ...textRows(name, on),
    ...reliabilityRows(name, ranked, singles),
    ...(measureAll ? [scalingRow(name, pairs, singles, errors.values)] : []),
    ...estimates.flatMap((estimate) =>
      rankingRows(name, estimate, measureAll ? pairs : ranked, singles, {
        bars: judged(rankingBars, estimate),
        detail: estimate.method === JUDGED,
      }),
    ),
  ];
  if (!isWanted('plans')) return ofTensors;
  return [
    ...(isWanted('tensors') ? ofTensors : []),
    ...(yield* predictionRows(
      name,
      on,
      space,
      [...forPlans.filter(({ inNats }) => inNats), truthAsEstimate(singles)].map((estimate) => ({
        estimate,
        bars: judged(predictionBars, estimate),
      })),
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

/** What plans could be predicted by if every single loss were known: the rest is what tensors do together. */
function truthAsEstimate(singles: Truth): Estimate {
  const values = new Map([...singles].map(([id, { klNats }]) => [id, klNats]));
  return { method: 'true single losses', inNats: true, knowsSchemes: true, values };
}

/** How well losses of some schemes follow from those of others, where all are known. */
function scalingRow(
  name: string,
  pairs: readonly Pair[],
  truth: Truth,
  errors: ReadonlyMap<string, number>,
): Row {
  const ranked = new Map([...truth].filter(([id]) => pairs.find((pair) => pair.id === id)?.bits !== null));
  const scaled = withScaled(ranked, pairs, errors);
  const extra = pairs.filter(({ bits }) => bits === null);
  return row({
    case: `${name}: the truth itself`,
    metric: `|loss scaled by errors from another scheme / true - 1|, median (${extra.length})`,
    ours: percentile(
      extra.map(({ id }) => Math.abs(lossOf(scaled, id).klNats / lossOf(truth, id).klNats - 1)),
      0.5,
    ),
  });
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
