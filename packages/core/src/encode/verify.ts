/** @file The written file reopened: every tensor there, every group decoded beside the source, before anyone sees it. */
import { BitsmithError } from '@bitsmith/formats';
import type { SourceModel } from '../model/types.js';
import type { RunContext } from '../run/context.js';
import type { RunEvent, Work } from '../run/events.js';
import type { WrittenWeights } from './verify-task.js';
import { againAfterCrash, stage, streamed } from '../run/work.js';

/** What became of the weights of each tensor. */
export type WrittenTensors = ReadonlyMap<string, WrittenWeights>;

/** The coarsest schemes (1.6 bits, weighted by importance) stay below this; weights in the wrong place come near 1.4. */
const LARGEST_RELATIVE_ERROR = 1.2;

/** @throws BitsmithError `OUTPUT_BROKEN` when a tensor is missing, extra, undecodable, non-finite or wrong. */
export async function* verifyWeights(
  run: RunContext,
  model: SourceModel,
  outputPath: string,
): Work<WrittenTensors> {
  return yield* stage('verify', 'the written file, decoded', async function* () {
    const written = new Map<string, WrittenWeights>();
    yield* streamed<RunEvent, null>((emit) =>
      againAfterCrash(
        () => decodeAll(run, model, outputPath, written, emit),
        (error) => emit({ type: 'note', level: 'warning', message: error.message }),
      ),
    );
    for (const [tensor, { relativeError: error }] of written) {
      if (error > LARGEST_RELATIVE_ERROR) {
        throw new BitsmithError(
          'validation',
          'OUTPUT_BROKEN',
          `expected ${tensor} of the written file within ${LARGEST_RELATIVE_ERROR} of the source (relative error), found ${error.toPrecision(3)}`,
          {
            suggestion:
              'The file was not published. Run the same command again; if it happens again, check the disk.',
          },
        );
      }
    }
    return { result: written, summary: `${written.size} tensors decoded`, cached: false };
  });
}

function decodeAll(
  run: RunContext,
  model: SourceModel,
  outputPath: string,
  written: Map<string, WrittenWeights>,
  emit: (event: RunEvent) => void,
): Promise<null> {
  const total = model.parameterCount;
  let done = 0;
  return run.engine.run(
    'verify',
    { files: model.files.map((file) => file.path), outputPath },
    {
      signal: run.signal,
      onEvent: ({ tensor, elements, relativeError, cosine }) => {
        written.set(tensor, { relativeError, cosine });
        done += elements;
        emit({ type: 'progress', stage: 'verify', done, total, unit: 'weights', item: tensor });
      },
    },
  );
}
