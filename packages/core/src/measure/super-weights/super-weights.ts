/**
 * @file Weights that matter alone. By spikes: a block's last feed-forward projection turns a spike of its input into one of its
 * output by a single weight ("The Super Weight in Large Language Models"). By importance: the weights that add most to the
 * square of their outputs, over the importance matrix.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { Calibration } from '../../calibrate/calibrate.js';
import { ENGINE_RELEASE } from '../../engine/release.js';
import type { SourceModel } from '../../model/types.js';
import { quantizable } from '../../plan/quantizable.js';
import type { RunContext } from '../../run/context.js';
import type { RunEvent, Work } from '../../run/events.js';
import type { TaskIdentity } from '../../run/store.js';
import { againAfterCrash, stage, streamed } from '../../run/work.js';
import { tokensHash, type TokenizedText } from '../../text/tokenize.js';
import type { Variant } from '../live/change.js';
import { FFN_DOWN } from './spike-observer.js';
import type { SpikesTask, SpikeWeight } from './spikes-task.js';
import type { ImportantWeight, TopWeightsTask } from './top-weights-task.js';
import { gatherVariants, type LiveMeasurement } from '../live/variants.js';

/** The weight between a block's spikes. */
export interface SuperWeightCandidate extends SpikeWeight {
  readonly row: number;
  readonly column: number;
  /** |spike| / root mean square, of the input and of the output. */
  readonly inputProminence: number;
  readonly outputProminence: number;
  /** What the weight alone makes of the output spike: weight x input / output. */
  readonly contribution: number;
  /** Whether both spikes stand out and the weight makes most of the second. */
  readonly found: boolean;
  /** True loss with this weight alone set to zero, in nats per token; measured where `found`, else null. */
  readonly klNats: number | null;
}

export interface SuperWeights {
  /** One a block; empty, with the reason in `missing`, where a family has no such projection. */
  readonly candidates: readonly SuperWeightCandidate[];
  readonly missing: string | null;
  /** Share of all weights that the most important ones are. */
  readonly coverage: number;
  /** How many weights that is. */
  readonly count: number;
  /** Of them in each tensor. */
  readonly counts: Readonly<Record<string, number>>;
  /** The first of them, most important first. */
  readonly important: readonly ImportantWeight[];
}

const DEFAULT_COVERAGE = 0.0001;
/** Above this they are no longer few. */
const LARGEST_COVERAGE = 0.01;
/** Important weights that are listed. */
const LISTED = 1000;
/** Tokens that are looked at for spikes. */
const SPIKE_TOKENS = 2048;

/** A spike stands this far above the root mean square at the least. */
const LEAST_PROMINENCE = 20;
/** A super weight makes at least this much of the output's spike. */
const LEAST_CONTRIBUTION = 0.5;

/**
 * Finds both kinds. What a single weight is worth is then measured on the text of `measurement`.
 * @param spikeText where spikes are looked for
 * @throws BitsmithError `COVERAGE_INVALID`, `ACTIVATION_NOT_FINITE`
 */
export async function* findSuperWeights(
  { run, model, calibration, text }: LiveMeasurement,
  spikeText: TokenizedText,
  coverage: number = DEFAULT_COVERAGE,
): Work<SuperWeights> {
  refuseBadCoverage(coverage);
  return yield* stage('measure', 'super weights', async function* () {
    const known = model.tensors.some(({ name }) => FFN_DOWN.test(name));
    const spikes = known ? yield* findSpikes(run, model, spikeText) : { value: { spikes: [] }, cached: true };
    const matrices = multiplied(model);
    const elements = matrices.reduce((sum, tensor) => sum + tensor.elements, 0);
    const count = Math.ceil(coverage * elements);
    const names = matrices.map(({ name }) => name);
    const top = yield* findImportant(run, model, calibration, names, count);
    const worth = yield* measureWorth(
      { run, model, calibration, text },
      spikes.value.spikes.map(candidateOf),
    );
    const candidates = worth.value;
    const result: SuperWeights = {
      candidates,
      missing: known
        ? null
        : `${model.architecture} has no separate feed-forward projection (ffn_down) whose spikes could be seen`,
      coverage,
      count,
      counts: top.value.counts,
      important: top.value.weights,
    };
    const found = candidates.filter((candidate) => candidate.found).length;
    const summary = `super weights: ${found} by spikes in ${candidates.length} projections, ${count} by importance`;
    return { result, summary, cached: spikes.cached && top.cached && worth.cached };
  });
}

/** @throws BitsmithError `COVERAGE_INVALID` */
export function refuseBadCoverage(coverage: number = DEFAULT_COVERAGE): void {
  if (coverage > 0 && coverage <= LARGEST_COVERAGE) return;
  throw new BitsmithError(
    'arguments',
    'COVERAGE_INVALID',
    `expected a coverage above 0 and up to ${LARGEST_COVERAGE} (of all weights), found ${coverage}`,
    { suggestion: `For example ${DEFAULT_COVERAGE}: one weight in ten thousand.` },
  );
}

/** Matrices that inputs are multiplied by: an embedding that is only looked up has no inputs. */
function multiplied(model: SourceModel): SourceModel['tensors'] {
  const tied = !model.tensors.some(({ name }) => name === 'output.weight');
  return model.tensors.filter(
    (tensor) =>
      quantizable(tensor).allowed &&
      (tensor.role !== 'embedding' || (tied && tensor.name === 'token_embd.weight')),
  );
}

interface Found<Value> {
  readonly value: Value;
  readonly cached: boolean;
}

async function* findSpikes(
  run: RunContext,
  model: SourceModel,
  whole: TokenizedText,
): AsyncGenerator<RunEvent, Found<SpikesTask['result']>, void> {
  const chunks = whole.chunks.slice(0, Math.max(1, Math.floor(SPIKE_TOKENS / whole.contextTokens)));
  const text = { ...whole, chunks };
  const task: TaskIdentity = {
    kind: 'spikes',
    version: 1,
    parameters: { contextTokens: text.contextTokens, engine: ENGINE_RELEASE },
    inputs: { model: model.sha256, tokens: tokensHash(text) },
  };
  const total = chunks.length * text.contextTokens;
  return yield* kept(run, task, (emit) => {
    let done = 0;
    return run.engine.run(
      'spikes',
      {
        ggufPath: model.ggufPath,
        files: model.files.map((file) => file.path),
        contextTokens: text.contextTokens,
        chunks,
      },
      {
        signal: run.signal,
        onEvent: ({ tokens }) => {
          done += tokens;
          emit({
            type: 'progress',
            stage: 'measure',
            done,
            total,
            unit: 'tokens',
            item: 'activation spikes',
          });
        },
      },
    );
  });
}

async function* findImportant(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  tensors: readonly string[],
  count: number,
): AsyncGenerator<RunEvent, Found<TopWeightsTask['result']>, void> {
  const task: TaskIdentity = {
    kind: 'top-weights',
    version: 1,
    parameters: { count, listed: LISTED },
    inputs: { model: model.sha256, importance: calibration.sha256 },
  };
  return yield* kept(run, task, (emit) =>
    run.engine.run(
      'top-weights',
      {
        files: model.files.map((file) => file.path),
        importancePath: calibration.path,
        tensors,
        count,
        listed: LISTED,
      },
      {
        signal: run.signal,
        onEvent: ({ tensors: done }) =>
          emit({
            type: 'progress',
            stage: 'measure',
            done,
            total: tensors.length,
            unit: 'tensors',
            item: 'important weights',
          }),
      },
    ),
  );
}

/** One artifact: read where it is there, else made and kept. */
async function* kept<Value>(
  run: RunContext,
  task: TaskIdentity,
  make: (emit: (event: RunEvent) => void) => Promise<Value>,
): AsyncGenerator<RunEvent, Found<Value>, void> {
  const known = await run.store.readJson<Value>(task);
  if (known !== null) return { value: known, cached: true };
  const value = yield* streamed<RunEvent, Value>(async (emit) => {
    const made = await againAfterCrash(
      () => make(emit),
      (error) => emit({ type: 'note', level: 'warning', message: error.message }),
    );
    await run.store.writeJson(task, made);
    return made;
  });
  return { value, cached: false };
}

function candidateOf(spike: SpikeWeight): SuperWeightCandidate {
  const { input, output, weight, inputAtOutput } = spike;
  const inputProminence = prominenceOf(input);
  const outputProminence = prominenceOf(output);
  const contribution = output.value === 0 ? 0 : (weight * inputAtOutput) / output.value;
  const found =
    Math.min(inputProminence, outputProminence) >= LEAST_PROMINENCE && contribution >= LEAST_CONTRIBUTION;
  return {
    ...spike,
    row: output.channel,
    column: input.channel,
    inputProminence,
    outputProminence,
    contribution,
    found,
    klNats: null,
  };
}

/** The true loss without each weight that was found. */
async function* measureWorth(
  measurement: LiveMeasurement,
  candidates: readonly SuperWeightCandidate[],
): AsyncGenerator<RunEvent, Found<readonly SuperWeightCandidate[]>, void> {
  const found = candidates.filter((candidate) => candidate.found);
  const variants = found.map(({ tensor, row, column }): Variant => ({
    id: tensor,
    changes: [{ tensor, change: { kind: 'without', weights: [{ row, column }] } }],
  }));
  const { values, cached } = yield* gatherVariants(measurement, variants, 'super weights');
  const losses = new Map(found.map(({ tensor }, index) => [tensor, values[index].klNats]));
  const value = candidates.map((each) => ({ ...each, klNats: losses.get(each.tensor) ?? null }));
  return { value, cached };
}

function prominenceOf({ value, rms }: { readonly value: number; readonly rms: number }): number {
  return rms > 0 ? Math.abs(value) / rms : 0;
}
