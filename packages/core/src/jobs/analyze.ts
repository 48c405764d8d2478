/** @file What every tensor costs, without a budget: the importance matrix as a file, and the ranking of the tensors. */
import path from 'node:path';
import type { Calibration } from '../calibrate/calibrate.js';
import { refuseNonFiniteWeights } from '../encode/finite.js';
import type { Evidence } from '../evaluate/types.js';
import { copyIntoPlace } from '../io/file-sink.js';
import { measure } from '../measure/measure.js';
import { openModel } from '../model/open.js';
import type { TensorRole } from '../model/types.js';
import { storageOptions, priceOptions } from '../plan/index.js';
import { inRun, type RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import { loadCorpus } from '../text/corpus.js';
import { refuseSource, refuseUnwritable } from './output.js';
import { calibrationFor, type PlanOptions, prepareTexts, wantedOf } from './plan.js';

export interface AnalyzeOptions extends Omit<
  PlanOptions,
  'size' | 'bitsPerWeight' | 'ratio' | 'locks' | 'planFile' | 'savePlan' | 'tensorTypeFile'
> {
  /** Where the importance matrix goes (GGUF, as llama-quantize reads it); default: only in the store. */
  readonly output?: string;
}

/** What is known of one tensor. */
export interface TensorAnalysis {
  readonly tensor: string;
  readonly role: TensorRole;
  readonly block: number | null;
  readonly elements: number;
  /** The scheme that the tensor was probed at. */
  readonly probeScheme: string;
  /** Measured loss with this tensor alone at the probe scheme, in nats per token. */
  readonly klNats: number;
  readonly standardError: number;
  /** Of the sum over all tensors. */
  readonly share: number;
  /** Estimated loss at every scheme, in nats per token. */
  readonly prices: Readonly<Record<string, number>>;
}

export interface AnalyzeResult {
  readonly status: 'success';
  readonly model: {
    readonly name: string;
    readonly architecture: string;
    readonly sha256: string;
    readonly parameterCount: number;
  };
  readonly importanceMatrixPath: string;
  readonly calibration: Pick<Calibration, 'dataset' | 'tokens' | 'sha256'>;
  readonly evidence: { readonly probe: Evidence; readonly prices: Evidence };
  /** Most sensitive first. */
  readonly tensors: readonly TensorAnalysis[];
}

/** Measures importance and prices of all tensors and schemes. */
export async function* analyze(options: AnalyzeOptions): Work<AnalyzeResult> {
  return yield* inRun(options, (run) => analyzeIn(run, options));
}

async function* analyzeIn(run: RunContext, options: AnalyzeOptions): Work<AnalyzeResult> {
  if (options.output !== undefined) await refuseUnwritable(options.output);
  const corpus = await loadCorpus(options.text);
  const model = yield* openModel(options.model, {
    store: run.store,
    token: options.token,
    signal: run.signal,
  });
  if (options.output !== undefined) await refuseSource(options.output, model);
  await refuseNonFiniteWeights(run, model);
  const texts = await prepareTexts(run, model, corpus, options);
  const calibration = yield* calibrationFor(run, model, texts, options);
  const storage = storageOptions(model.tensors);
  const measured = yield* measure(run, model, calibration, texts.search, wantedOf(storage));
  const prices = new Map(
    priceOptions(storage, measured).map(({ tensor, candidates }) => [tensor, candidates]),
  );
  const total = measured.reduce((sum, { probe }) => sum + probe.klNats, 0);
  const tensors = measured.map(({ tensor, probe }): TensorAnalysis => ({
    tensor: tensor.name,
    role: tensor.role,
    block: tensor.block,
    elements: tensor.elements,
    probeScheme: probe.scheme,
    klNats: probe.klNats,
    standardError: probe.standardError,
    share: total === 0 ? 0 : probe.klNats / total,
    prices: Object.fromEntries((prices.get(tensor.name) ?? []).map(({ scheme, klNats }) => [scheme, klNats])),
  }));
  return {
    status: 'success',
    model: {
      name: model.name,
      architecture: model.architecture,
      sha256: model.sha256,
      parameterCount: model.parameterCount,
    },
    importanceMatrixPath: await publish(calibration.path, options.output),
    calibration: { dataset: calibration.dataset, tokens: calibration.tokens, sha256: calibration.sha256 },
    evidence: { probe: 'measured', prices: 'estimated' },
    tensors: tensors.sort((a, b) => b.klNats - a.klNats),
  };
}

async function publish(stored: string, output: string | undefined): Promise<string> {
  if (output === undefined) return stored;
  const target = path.resolve(output);
  await copyIntoPlace(stored, target);
  return target;
}
