/** @file The audit of interactions on the model at hand: inner products of many sequences, an artifact each, then the tests. */
import type { Calibration } from '../../calibrate/calibrate.js';
import { ENGINE_RELEASE } from '../../engine/release.js';
import { sha256 } from '../../io/hash.js';
import type { SourceModel } from '../../model/types.js';
import type { RunContext } from '../../run/context.js';
import type { SchemeId } from '../../plan/schemes.js';
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import { spreadOrder } from '../../text/spread-order.js';
import { refuseTooManySamples, tokensHash, type TokenizedText } from '../../text/tokenize.js';
import { gatherMissing } from '../../run/gather.js';
import { auditInteractions, type InteractionAudit } from './interactions.js';
import { probeScheme } from '../errors/probe-scheme.js';
import { firstScoredPosition } from '../scored-positions.js';
import type { Wanted } from '../wanted.js';

/** Fewer would find chance alone. */
const INTERACTION_SAMPLES = 128;

/**
 * Audits the interactions of all tensors, each in the scheme that a probe would take.
 * @throws BitsmithError `SAMPLES_TOO_MANY` for a text of fewer sequences
 */
export async function* measureInteractions(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  text: TokenizedText,
  wanted: readonly Wanted[],
  samples: number = INTERACTION_SAMPLES,
): Work<InteractionAudit> {
  refuseTooManySamples(samples, text);
  return yield* stage('measure', `interactions on ${text.name}`, async function* () {
    const schemes = Object.fromEntries(
      wanted.map(({ tensor }): [string, SchemeId] => [tensor.name, probeScheme(tensor)]),
    );
    const positions = text.contextTokens;
    const firstScored = firstScoredPosition(positions);
    const items = spreadOrder(text.chunks.length).slice(0, samples);
    const { values, cached } = yield* gatherMissing<number, Record<string, number>>(run, {
      items,
      taskOf: (index) => ({
        kind: 'inner-products',
        version: 1,
        parameters: {
          index,
          positions,
          firstScored,
          seed: run.seed,
          schemes: sha256(JSON.stringify(schemes)),
          engine: ENGINE_RELEASE,
        },
        inputs: {
          model: model.sha256,
          importance: calibration.sha256,
          tokens: tokensHash({ chunks: [text.chunks[index]] }),
        },
      }),
      label: 'inner products of sequences',
      unit: 'measurements',
      work: (missing, store) =>
        run.engine.run(
          'inner-products',
          {
            files: model.files.map((file) => file.path),
            importancePath: calibration.path,
            positions,
            firstScored,
            seed: run.seed,
            sequences: missing.map((index) => ({ index, tokens: text.chunks[index] })),
            schemes,
          },
          { signal: run.signal, onEvent: ({ index, products }) => store(index, products) },
        ),
    });
    const result = auditInteractions(Object.keys(schemes), values);
    const summary =
      result.found.length === 0
        ? `${result.pairs.toLocaleString('en')} pairs, none beyond chance`
        : `${result.found.length} of ${result.pairs.toLocaleString('en')} pairs beyond chance`;
    return { result, summary, cached };
  });
}
