/**
 * @file What the default analysis costs: its gradients against one forward pass over the same tokens and against the arithmetic
 * that they cannot do without, and all of it against replacing every (tensor, scheme) in the live model. Everything is measured in one
 * run, in a store of its own, so that nothing is there already.
 */
import { rm } from 'node:fs/promises';
import {
  adoptCalibration,
  inRun,
  loadCorpus,
  measureVariants,
  type MethodInput,
  openModel,
  quantizable,
  type RunContext,
  type SchemeId,
  scoresOf,
  type SourceModel,
  spreadChunks,
  storageOptions,
  type TokenizedText,
  tokenizeTexts,
  tokensOf,
  type Variant,
  type Wanted,
  type Work,
} from '@bitsmith/core';
import { benchFolder } from '../file.js';
import { follow } from '../follow.js';
import { Peer } from '../peer.js';
import { row, type Row, say } from '../report.js';
import { median } from '../statistics.js';
import { idOf } from './ladder.js';

const THREADS = 2;
const FORWARDS = 3;
/** Forward twice, since blocks are rebuilt, and backward. */
const ATTENTION_PRODUCTS = 2 + 2 + 4;
/** Pairs that are replaced to know what all would take. */
const REPLACED = 12;

export interface CostRequest {
  readonly name: string;
  readonly location: string;
  /** The importance matrix that encoders work with. */
  readonly importancePath: string;
  readonly contextTokens: number;
  readonly samples: number;
}

export async function costRows(request: CostRequest): Promise<Row[]> {
  const home = await benchFolder(`cost-${process.pid}`);
  try {
    return await follow(inRun({ home, threads: THREADS }, (run) => measureCost(run, request)));
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function* measureCost(run: RunContext, request: CostRequest): Work<Row[]> {
  const { name, location, importancePath, contextTokens, samples } = request;
  const model = yield* openModel(location, { store: run.store });
  const corpus = await loadCorpus();
  const [whole] = await tokenizeTexts(run, model, [corpus.search], contextTokens);
  const text = spreadChunks(whole, samples * contextTokens);
  const calibration = yield* adoptCalibration(run, model, importancePath);
  const wanted = wantedOf(model);
  const input: MethodInput = {
    run,
    model,
    calibration,
    text,
    gradientText: text,
    samples,
    wanted,
    chosenSchemes: true,
  };
  const machine = await measureMachine(model, text);
  // First gradients alone, then, with these in the store, prices of everything.
  const notes: string[] = [];
  const gradients = yield* timed(noting(scoresOf('gradient', { ...input, wanted: [] }), notes));
  const { forward, backward } = passSeconds(notes);
  const prices = yield* timed(scoresOf('gradient', input));
  const replacement = yield* replacementSeconds(input);
  const pairs = wanted.reduce((sum, { schemes }) => sum + schemes.length, 0);
  const floor = operationsOf(model, text) / machine.operationsPerSecond;
  const about = { case: `${name}: cost` };
  return [
    row({ ...about, metric: 'pairs of tensor and scheme', ours: pairs }),
    row({ ...about, metric: 'tokens that gradients are taken of', ours: tokensOf(text) }),
    row({
      ...about,
      metric: 'gradients, seconds; peer: one forward of the same tokens, llama.cpp',
      ours: gradients,
      peer: machine.forwardSeconds,
    }),
    row({
      ...about,
      metric: `gradients, seconds; peer: their arithmetic at ${(machine.operationsPerSecond / 1e9).toFixed(1)} GFLOP/s`,
      ours: gradients,
      peer: floor,
      bar: { of: 'ratio', most: 2 },
    }),
    row({
      ...about,
      metric: 'gradients, seconds; peer: their own way forward',
      ours: gradients,
      peer: forward,
      bar: { of: 'ratio', most: 6 },
    }),
    row({
      ...about,
      metric: 'backward through the blocks, less their rebuilding, seconds; peer: forward',
      ours: backward - forward,
      peer: forward,
      bar: { of: 'ratio', most: 2.5 },
    }),
    row({ ...about, metric: "the encoders' errors of all pairs, seconds", ours: prices }),
    row({
      ...about,
      metric: `replacing one pair, seconds, of ${REPLACED} measured`,
      ours: replacement,
    }),
    row({
      ...about,
      metric: 'the whole analysis, seconds; peer: replacing every pair',
      ours: gradients + prices,
      peer: replacement * pairs,
      bar: { of: 'ratio', most: 1 / 50 },
    }),
  ];
}

/** Everything that a plan may choose from. */
function wantedOf(model: SourceModel): Wanted[] {
  return storageOptions(model.tensors)
    .map(({ tensor, options }) => ({
      tensor,
      schemes: options
        .map(({ scheme }) => scheme)
        .filter((scheme): scheme is SchemeId => scheme !== tensor.type),
    }))
    .filter(({ tensor, schemes }) => schemes.length > 0 && quantizable(tensor).allowed);
}

/** Keeps what is said on the way. */
async function* noting<Result>(work: Work<Result>, notes: string[]): Work<Result> {
  for (;;) {
    const step = await work.next();
    if (step.done === true) return step.value;
    if (step.value.type === 'note') notes.push(step.value.message);
    yield step.value;
  }
}

function passSeconds(notes: readonly string[]): { forward: number; backward: number } {
  const told = notes.map((note) => /took ([\d.]+) s forward.* ([\d.]+) s backward/.exec(note)).find(Boolean);
  return { forward: Number(told?.[1]), backward: Number(told?.[2]) };
}

async function* timed(work: Work<unknown>): Work<number> {
  const start = performance.now();
  yield* work;
  return (performance.now() - start) / 1000;
}

interface Machine {
  readonly forwardSeconds: number;
  readonly operationsPerSecond: number;
}

async function measureMachine(model: SourceModel, text: TokenizedText): Promise<Machine> {
  say('  one forward, and products of matrices ...');
  const peer = new Peer(THREADS);
  try {
    const forwards: number[] = [];
    for (let count = 0; count < FORWARDS; count++)
      forwards.push(await peer.forward(model.ggufPath, text.chunks, THREADS));
    return { forwardSeconds: median(forwards), operationsPerSecond: await peer.productRate(THREADS) };
  } finally {
    await peer.close();
  }
}

/**
 * Seconds of one replacement, encoding and forward pass: a few pairs from all over the list, less what a measurement takes that
 * has only one.
 */
async function* replacementSeconds({ run, model, calibration, text, wanted }: MethodInput): Work<number> {
  const all = wanted.flatMap(({ tensor, schemes }) =>
    schemes.map((scheme): Variant => ({
      id: idOf(tensor.name, scheme),
      changes: [{ tensor: tensor.name, change: { kind: 'scheme', scheme } }],
    })),
  );
  const chosen = Array.from(
    { length: REPLACED + 2 },
    (_, index) => all[Math.floor(((index + 0.5) * all.length) / (REPLACED + 2))],
  );
  const first = yield* timed(measureVariants(run, model, calibration, text, chosen.slice(0, 1)));
  const others = yield* timed(measureVariants(run, model, calibration, text, chosen.slice(1)));
  return (others - first) / REPLACED;
}

/**
 * Multiplications and additions that gradients of a text take at the least: each matrix forward, once more where blocks are
 * rebuilt, and backward to its input and to itself; the head is not rebuilt. Attention mixes over half of the positions, as later ones
 * are not looked at, with two products forward and four backward.
 */
function operationsOf(model: SourceModel, text: TokenizedText): number {
  const untied = model.tensors.some(({ role }) => role === 'output-head');
  const perToken = model.tensors
    .filter((tensor) => quantizable(tensor).allowed)
    .reduce((sum, { role, elements, shape }) => {
      const isHead = role === 'output-head' || (role === 'embedding' && !untied);
      if (role === 'embedding' && untied) return sum;
      const attention = role === 'attention-output' ? ATTENTION_PRODUCTS * text.contextTokens * shape[0] : 0;
      return sum + 2 * elements * (isHead ? 3 : 4) + attention;
    }, 0);
  return perToken * tokensOf(text);
}
