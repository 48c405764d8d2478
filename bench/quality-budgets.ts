/**
 * @file Whether limits of loss are kept, and how tightly: random `--max-kl` requests, the file that comes of each, and a scan of
 * smaller files. A scanned file is the best plan of its size, written and measured on the same report text; the smallest that
 * meets the limit is what the request's file is held against.
 *
 *     npm run bench:budgets -- --requests 20 --seed 1 --model orator|smollm2 [--encoder nearest]
 *
 * Requests and scans take the same encoder: codes of feedback take minutes a file where a model has a hundred million weights. Plans and
 * files are measured on `--tokens` of search and report text; unless told, on what a job takes by itself, and on less of SmolLM2.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { encoderMethods, finish, quantize, type QuantizeOptions, type QuantizeResult } from '@bitsmith/core';
import { openBundled } from './lib/bundled.js';
import { benchFolder } from './lib/file.js';
import { randomWords } from './lib/random.js';
import { readFlags, report, type Row, row, say } from './lib/report.js';
import { openSmollm2 } from './lib/smollm2.js';
import { median } from './lib/statistics.js';

const THREADS = 2;
/** From where 6 bits are hardly enough to where 2.3 are too many. */
const LIMITS = { least: 0.0015, most: 0.2 } as const;
/** Sizes below the request's file that are scanned, as shares of it: the first three decide on the bar, the rest on where the smallest is. */
const BEYOND = [1 / 1.03, 0.985 / 1.03, 0.97 / 1.03];
const WITHIN = [0.99, 0.98];
/** The largest that a file may be, of the smallest that meets the limit. */
const BAR = 1.03;
/** Presets are far above the plans at these sizes: few tokens tell. */
const FLOOR_TOKENS = 512;
/** A file takes half a minute then. */
const SMOLLM2_TOKENS = 2048;

const flags = readFlags(['requests', 'seed', 'model', 'first', 'width', 'home', 'encoder', 'tokens']);
const requests = Number(flags.values['requests'] ?? 20);
const seed = Number(flags.values['seed'] ?? 1);
const first = Number(flags.values['first'] ?? 0);
const name = String(flags.values['model'] ?? 'orator');
const model =
  name === 'smollm2'
    ? (await openSmollm2(Number(flags.values['width'] ?? 576))).path
    : (await openBundled()).ggufPath;
const home = String(flags.values['home'] ?? (await benchFolder('home')));
const folder = await benchFolder(`budgets-${process.pid}`);
const encoder = encoderMethods.find((method) => method === flags.values['encoder']);
const tokens =
  Number(flags.values['tokens'] ?? (name === 'smollm2' ? SMOLLM2_TOKENS : Number.NaN)) || undefined;
const shared = {
  model,
  home,
  threads: THREADS,
  floorTokens: FLOOR_TOKENS,
  encoder,
  qualityTokens: tokens,
  verifyTokens: tokens,
} as const;

interface Outcome {
  readonly limit: number;
  readonly result: QuantizeResult;
  readonly seconds: number;
  /** Bytes of the smallest file that met the limit, the request's own among them. */
  readonly smallest: number;
  /** Files scanned. */
  readonly scanned: number;
}

const outcomes: Outcome[] = [];
try {
  const words = randomWords(seed);
  const limits = Array.from({ length: requests }, () => {
    const exact = LIMITS.least * (LIMITS.most / LIMITS.least) ** ((words() >>> 0) / 2 ** 32);
    return Number(exact.toPrecision(3));
  });
  for (const [index, limit] of limits.entries()) {
    if (index >= first) outcomes.push(await request(limit, index));
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
await report('quality budgets', rowsOf(outcomes), flags);

async function request(limit: number, index: number): Promise<Outcome> {
  const started = performance.now();
  const result = await make({ maxKl: limit });
  const seconds = (performance.now() - started) / 1000;
  const { smallest, scanned } = await scan(limit, result.output.byteLength);
  const found = result.evaluation?.klNats.mean.value ?? Number.NaN;
  const { files = [], search = null } = result.quality ?? {};
  say(
    `${index}: at most ${limit}: ${found.toFixed(6)} in ${result.output.byteLength} bytes, smallest ${smallest} ` +
      `(${(result.output.byteLength / smallest).toFixed(4)}); ${files.length} files, ${search?.evaluations} plans, search text ${search?.klNats.value.toFixed(6)}, ${seconds.toFixed(0)} s`,
  );
  return { limit, result, seconds, smallest, scanned };
}

/** The smallest file that meets the limit, as far as the scan sees. */
async function scan(limit: number, bytes: number): Promise<{ smallest: number; scanned: number }> {
  let smallest = bytes;
  let scanned = 0;
  const meets = async (share: number): Promise<boolean> => {
    const { evaluation, output } = await make({ size: Math.floor(bytes * share) });
    scanned++;
    const met = (evaluation?.klNats.mean.value ?? Infinity) <= limit;
    if (met) smallest = Math.min(smallest, output.byteLength);
    return met;
  };
  let farther = false;
  for (const share of BEYOND) farther = (await meets(share)) || farther;
  for (let share = 0.94; farther && share > 0.7; share -= 0.02) farther = await meets(share);
  for (const share of WITHIN) await meets(share);
  return { smallest, scanned };
}

async function make(wish: Pick<QuantizeOptions, 'maxKl' | 'size'>): Promise<QuantizeResult> {
  return finish(quantize({ ...shared, ...wish, output: path.join(folder, 'made.gguf') }));
}

function rowsOf(all: readonly Outcome[]): Row[] {
  const about = { case: name };
  const kl = ({ result }: Outcome): number => result.evaluation?.klNats.mean.value ?? Number.NaN;
  const sizes = all.map(({ result, smallest }) => result.output.byteLength / smallest);
  const met = all.filter((outcome) => kl(outcome) <= outcome.limit).length;
  const meanOf = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  return [
    row({
      ...about,
      metric: 'positions of the report text that files are measured on',
      ours: all[0]?.result.evaluation?.positions ?? Number.NaN,
    }),
    row({
      ...about,
      metric: `requests of ${all.length} met on the written file`,
      ours: met,
      bar: { of: 'ours', least: all.length },
    }),
    row({
      ...about,
      metric: 'file / smallest that meets the limit, worst',
      ours: Math.max(...sizes),
      bar: { of: 'ours', most: BAR },
    }),
    row({ ...about, metric: '  median', ours: median(sizes) }),
    row({
      ...about,
      metric: '  share of the limit that is used, median',
      ours: median(all.map((outcome) => kl(outcome) / outcome.limit)),
    }),
    row({
      ...about,
      metric: '  files measured on the report text, mean',
      ours: meanOf(all.map(({ result }) => result.quality?.files.length ?? 0)),
    }),
    row({
      ...about,
      metric: '  plans measured on the search text, mean',
      ours: meanOf(all.map(({ result }) => result.quality?.search?.evaluations ?? 0)),
    }),
    row({ ...about, metric: '  seconds a request, median', ours: median(all.map(({ seconds }) => seconds)) }),
    row({ ...about, metric: '  files scanned', ours: all.reduce((sum, { scanned }) => sum + scanned, 0) }),
  ];
}
