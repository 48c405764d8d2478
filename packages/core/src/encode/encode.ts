/** @file Encoding a plan into its unfinished output: what is not complete there, in a new engine where one dies. */
import type { GgufLayout, TensorType } from '@bitsmith/formats';
import type { Calibration } from '../calibrate/calibrate.js';
import type { SourceModel } from '../model/types.js';
import type { RunContext } from '../run/context.js';
import type { RunEvent, Work } from '../run/events.js';
import { stage, streamed, withNewEngineAfterCrash } from '../run/work.js';
import { encodeMemory } from './feedback/encode-memory.js';
import type { LearnedCodes } from './learned/learned.js';
import { roundingParameters } from '../gram/statistics.js';
import { roomForEncoded } from './room-for-encoded.js';
import { SLAB_WEIGHTS } from './slabs.js';
import type { UnfinishedOutput } from './unfinished-output.js';

/**
 * Encodes every tensor of the layout that `unfinished` lacks; its file is then complete but not published yet.
 * @param learned codes that were made before
 */
export async function* encode(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  layout: GgufLayout,
  unfinished: UnfinishedOutput,
  learned: LearnedCodes | null = null,
): Work<void> {
  yield* stage('encode', `${layout.tensors.length} tensors`, async function* () {
    const cached = (await unfinished.complete()).size === layout.tensors.length;
    yield* encodeMissing(run, model, calibration, layout, unfinished, learned);
    const summary = `${model.parameterCount.toLocaleString('en')} weights${memoryNote(run, model, calibration)}`;
    return { result: undefined, summary, cached };
  });
}

/** ` in N MB`, where that is more than slabs of weights. */
function memoryNote(run: RunContext, model: SourceModel, { rounding }: Calibration): string {
  const parameters = roundingParameters(model, rounding);
  if (parameters === null) return '';
  const bytes = encodeMemory(parameters, model.tensors, run.threads, SLAB_WEIGHTS);
  return `, worked on in ${Math.ceil(bytes / 1e6)} MB`;
}

async function* encodeMissing(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  layout: GgufLayout,
  unfinished: UnfinishedOutput,
  learned: LearnedCodes | null,
): AsyncGenerator<RunEvent, void, void> {
  const weights = new Map(model.tensors.map((tensor) => [tensor.name, tensor.elements]));
  const total = model.parameterCount;
  yield* streamed<RunEvent, void>((emit) =>
    withNewEngineAfterCrash(
      async () => layout.tensors.length - (await unfinished.complete()).size,
      async () => {
        const complete = await unfinished.complete();
        let done = 0;
        for (const name of complete) done += weights.get(name) ?? 0;
        await run.engine.run(
          'encode',
          {
            files: model.files.map((file) => file.path),
            importancePath: calibration.path,
            rounding: roundingParameters(model, calibration.rounding),
            encodedCacheBytes: roomForEncoded(),
            outputPath: unfinished.path,
            journalPath: unfinished.journalPath,
            tensors: layout.tensors
              .filter((tensor) => !complete.has(tensor.name))
              .map(({ name, type, offset }) => ({
                name,
                scheme: type as TensorType,
                offset,
                learned: learned?.places.get(name) ?? null,
              })),
          },
          {
            signal: run.signal,
            onEvent: (event) => {
              done += event.weights;
              emit({ type: 'progress', stage: 'encode', done, total, unit: 'weights', item: event.tensor });
            },
          },
        );
      },
      (error) => emit({ type: 'note', level: 'warning', message: error.message }),
    ),
  );
}
