/**
 * @file What every (tensor, scheme) costs, in nats per token. The weight error of each scheme is measured on a sample of
 * rows; one probe a tensor, its true KL when it alone is quantized in the live model, turns errors into prices. Error alone
 * must not be the price: tensors differ by orders of magnitude in what an error of theirs does to the output.
 */
import type { Calibration } from '../calibrate/calibrate.js';
import { ENGINE_RELEASE } from '../engine/release.js';
import type { ModelTensor, SourceModel } from '../model/types.js';
import type { SchemeId } from '../plan/schemes.js';
import type { RunContext } from '../run/context.js';
import type { RunEvent, Work } from '../run/events.js';
import type { TaskIdentity } from '../run/store.js';
import { stage, streamed, withNewEngineAfterCrash } from '../run/work.js';
import type { TokenizedText } from '../text/tokenize.js';
import { probeScheme } from './probe-scheme.js';
import { membersOf, type SchemeGroup, schemeGroups } from './scheme-groups.js';

/** A tensor's true loss at one scheme. */
export interface Probe {
  readonly scheme: SchemeId;
  readonly klNats: number;
  readonly standardError: number;
}

/** Everything measured about one tensor. */
export interface MeasuredTensor {
  readonly tensor: ModelTensor;
  /** Importance-weighted squared error of each scheme. */
  readonly errors: ReadonlyMap<string, number>;
  readonly probe: Probe;
}

/** What to price about a tensor. */
export interface Wanted {
  readonly tensor: ModelTensor;
  /** Schemes other than the stored type. */
  readonly schemes: readonly SchemeId[];
}

/** Says for which tensors a group of schemes is worth measuring, by name, from what is known so far. */
export type GroupSelector = (known: readonly MeasuredTensor[], group: SchemeGroup) => ReadonlySet<string>;

/** Weights sampled a tensor for the error of each scheme. */
const SAMPLE_WEIGHTS = 1 << 15;

/**
 * Measures errors and probes of all tensors; what is in the store is not measured again.
 * @param select leaves out slow groups of schemes where they cannot matter; without it everything is measured
 */
export async function* measure(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  text: TokenizedText,
  wanted: readonly Wanted[],
  select?: GroupSelector,
): Work<readonly MeasuredTensor[]> {
  return yield* stage('measure', `the price of every tensor on ${text.name}`, async function* () {
    const tensors = wanted.map(({ tensor }) => tensor);
    const [first, ...later] = schemeGroups;
    const errors = yield* measureErrors(
      run,
      model,
      calibration,
      wanted.map((item) => firstOf(item, first)),
    );
    const probes = yield* measureProbes(run, model, calibration, text, tensors);
    let measured: MeasuredTensor[] = tensors.map((tensor, index) => ({
      tensor,
      errors: errors.values[index],
      probe: probes.values[index],
    }));
    let cached = errors.cached && probes.cached;
    for (const group of later) {
      const worth = select?.(measured, group);
      const open = wanted
        .filter(
          ({ tensor, schemes }) => schemes.length > 1 && (worth === undefined || worth.has(tensor.name)),
        )
        .map(({ tensor, schemes }) => ({ tensor, schemes: membersOf(group, schemes) }))
        .filter(({ schemes }) => schemes.length > 0);
      const more = yield* measureErrors(run, model, calibration, open);
      const added = new Map(open.map(({ tensor }, index) => [tensor.name, more.values[index]]));
      measured = measured.map((item) => ({
        ...item,
        errors: new Map([...item.errors, ...(added.get(item.tensor.name) ?? [])]),
      }));
      cached &&= more.cached;
    }
    const prices = measured.reduce((sum, item) => sum + item.errors.size, 0);
    const positions = text.chunks.length * text.contextTokens;
    const summary = `${tensors.length} probes of ${positions.toLocaleString('en')} tokens, ${prices.toLocaleString('en')} prices`;
    return { result: measured, summary, cached };
  });
}

interface Gathered<Value> {
  readonly values: readonly Value[];
  readonly cached: boolean;
}

/** The first things to measure: all quick schemes, the only one where there is no choice, and the probe's. */
function firstOf({ tensor, schemes }: Wanted, group: SchemeGroup): Wanted {
  const first = schemes.length === 1 ? schemes : membersOf(group, schemes);
  return { tensor, schemes: [...new Set([...first, probeScheme(tensor)])] };
}

async function* measureErrors(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  wanted: readonly Wanted[],
): AsyncGenerator<RunEvent, Gathered<ReadonlyMap<string, number>>, void> {
  const schemesOf = new Map(wanted.map(({ tensor, schemes }) => [tensor.name, schemes]));
  const task = ({ name }: ModelTensor): TaskIdentity => ({
    kind: 'weight-errors',
    version: 1,
    parameters: {
      tensor: name,
      schemes: schemesOf.get(name),
      sampleWeights: SAMPLE_WEIGHTS,
      engine: ENGINE_RELEASE,
    },
    inputs: { model: model.sha256, importance: calibration.sha256 },
  });
  const tensors = wanted.map(({ tensor }) => tensor);
  const errors = yield* gatherMissing<Record<string, number>>(
    run,
    tensors,
    task,
    'errors of schemes',
    (missing, store) =>
      run.engine.run(
        'errors',
        {
          files: model.files.map((file) => file.path),
          importancePath: calibration.path,
          sampleWeights: SAMPLE_WEIGHTS,
          tensors: missing.map(({ name }) => ({ name, schemes: schemesOf.get(name) ?? [] })),
        },
        { signal: run.signal, onEvent: ({ tensor, errors: found }) => store(tensor, found) },
      ),
  );
  return { cached: errors.cached, values: errors.values.map((found) => new Map(Object.entries(found))) };
}

async function* measureProbes(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  text: TokenizedText,
  tensors: readonly ModelTensor[],
): AsyncGenerator<RunEvent, Gathered<Probe>, void> {
  const task = (tensor: ModelTensor): TaskIdentity => ({
    kind: 'probe',
    version: 2,
    parameters: {
      tensor: tensor.name,
      scheme: probeScheme(tensor),
      contextTokens: text.contextTokens,
      chunks: text.chunks.length,
      engine: ENGINE_RELEASE,
    },
    inputs: { model: model.sha256, text: text.sha256, importance: calibration.sha256 },
  });
  return yield* gatherMissing<Probe>(run, tensors, task, 'probes in the live model', (missing, store) =>
    run.engine.run(
      'probe',
      {
        ggufPath: model.ggufPath,
        files: model.files.map((file) => file.path),
        importancePath: calibration.path,
        contextTokens: text.contextTokens,
        chunks: text.chunks,
        tensors: missing.map((tensor) => ({ name: tensor.name, scheme: probeScheme(tensor) })),
      },
      {
        signal: run.signal,
        onEvent: ({ tensor, klNats, standardError }) => {
          const found = missing.find(({ name }) => name === tensor) as ModelTensor;
          store(tensor, { scheme: probeScheme(found), klNats, standardError });
        },
      },
    ),
  );
}

/** One small JSON artifact a tensor: reads those that are there, lets `work` make the rest, in a new engine if one dies. */
async function* gatherMissing<Value>(
  run: RunContext,
  tensors: readonly ModelTensor[],
  taskOf: (tensor: ModelTensor) => TaskIdentity,
  item: string,
  work: (missing: readonly ModelTensor[], store: (tensor: string, value: Value) => void) => Promise<unknown>,
): AsyncGenerator<RunEvent, Gathered<Value>, void> {
  const known = new Map<string, Value>();
  for (const tensor of tensors) {
    const value = await run.store.readJson<Value>(taskOf(tensor));
    if (value !== null) known.set(tensor.name, value);
  }
  const missing = (): ModelTensor[] => tensors.filter((tensor) => !known.has(tensor.name));
  const cached = missing().length === 0;
  yield* streamed<RunEvent, void>(async (emit) => {
    const progress = (): void =>
      emit({
        type: 'progress',
        stage: 'measure',
        done: known.size,
        total: tensors.length,
        unit: 'tensors',
        item,
      });
    progress();
    const tasks = new Map(tensors.map((tensor) => [tensor.name, taskOf(tensor)]));
    await withNewEngineAfterCrash(
      () => missing().length,
      async () => {
        const writes: Promise<void>[] = [];
        try {
          await work(missing(), (tensor, value) => {
            known.set(tensor, value);
            const write = run.store.writeJson(tasks.get(tensor) as TaskIdentity, value);
            // A full disk fails here while the engine works on: it is told below, not as an unhandled rejection.
            write.catch(() => undefined);
            writes.push(write);
            progress();
          });
        } finally {
          await Promise.allSettled(writes);
        }
        await Promise.all(writes);
      },
      (error) => emit({ type: 'note', level: 'warning', message: error.message }),
    );
  });
  return { values: tensors.map((tensor) => known.get(tensor.name) as Value), cached };
}
