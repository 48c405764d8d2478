/**
 * @file A least cosine similarity for every tensor: schemes that turn its weights further are no candidates for it. It is measured on a
 * sample of rows first; what the written file then says of whole tensors has the last word, and what fell short there
 * is left out as well.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { Calibration } from '../calibrate/calibrate.js';
import { measureCosines } from '../measure/errors/cosines.js';
import type { Pair } from '../measure/pairs.js';
import type { SourceModel } from '../model/types.js';
import type { SchemeId } from '../plan/schemes.js';
import type { Choice } from '../plan/types.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import { stage } from '../run/work.js';

/** A (tensor, scheme) that fell short in a written file. */
export type ShortPair = Pick<Pair, 'tensor'> & { readonly scheme: string };

/**
 * The choices without what turns weights too far. Tensors as stored are never turned.
 * @param least cosine similarity
 * @throws BitsmithError `QUALITY_IMPOSSIBLE`, naming a tensor that is left without a scheme
 */
export async function* withinCosine(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  choices: readonly Choice[],
  least: number,
): Work<readonly Choice[]> {
  const label = `schemes with a cosine similarity of ${least}`;
  return yield* stage('measure', label, async function* () {
    const stored = new Map<string, string>(model.tensors.map(({ name, type }) => [name, type]));
    const pairs = choices.flatMap(({ tensor, candidates }): Pair[] =>
      candidates
        .filter(({ scheme, klNats }) => scheme !== stored.get(tensor) && klNats > 0)
        .map(({ scheme }) => ({ tensor, scheme: scheme as SchemeId })),
    );
    const { values, cached } = yield* measureCosines(run, model, calibration, pairs);
    const cosines = new Map(pairs.map(({ tensor, scheme }, index) => [`${tensor} ${scheme}`, values[index]]));
    const result = choices.map((choice) => {
      const candidates = choice.candidates.filter(
        ({ scheme }) => (cosines.get(`${choice.tensor} ${scheme}`) ?? 1) >= least,
      );
      if (candidates.length > 0) return { ...choice, candidates };
      const best = Math.max(
        ...choice.candidates.map(({ scheme }) => cosines.get(`${choice.tensor} ${scheme}`) ?? 0),
      );
      throw noneLeft(choice, least, best);
    });
    const left = result.reduce((sum, { candidates }) => sum + candidates.length, 0);
    const all = choices.reduce((sum, { candidates }) => sum + candidates.length, 0);
    return {
      result,
      cached,
      summary: `${left.toLocaleString('en')} of ${all.toLocaleString('en')} candidates`,
    };
  });
}

/**
 * The choices without pairs that a written file showed to fall short.
 * @param least cosine similarity that they fell short of; undefined where it was another limit
 */
export function without(
  choices: readonly Choice[],
  short: readonly ShortPair[],
  least: number | undefined,
): readonly Choice[] {
  const out = new Set(short.map(({ tensor, scheme }) => `${tensor} ${scheme}`));
  return choices.map((choice) => {
    const candidates = choice.candidates.filter(({ scheme }) => !out.has(`${choice.tensor} ${scheme}`));
    if (candidates.length === 0) throw least === undefined ? spent(choice) : noneLeft(choice, least, null);
    return candidates.length === choice.candidates.length ? choice : { ...choice, candidates };
  });
}

function spent({ tensor, candidates }: Choice): BitsmithError {
  const schemes = candidates.map(({ scheme }) => scheme).join(', ');
  return new BitsmithError(
    'budget-impossible',
    'QUALITY_IMPOSSIBLE',
    `expected a scheme for ${tensor} that holds its limit, found none of those that it may have (${schemes})`,
    { suggestion: 'Allow more schemes, or loosen the limit.' },
  );
}

function noneLeft(
  { tensor, candidates, constraint }: Choice,
  least: number,
  best: number | null,
): BitsmithError {
  const schemes = candidates.map(({ scheme }) => scheme).join(', ');
  const found = best === null ? 'less on the written file' : `${best.toFixed(6)} at best`;
  return new BitsmithError(
    'budget-impossible',
    'QUALITY_IMPOSSIBLE',
    `expected a cosine similarity of at least ${least} for ${tensor}, found ${found} in the schemes that it may have (${schemes})`,
    {
      expected: `${least}`,
      found,
      suggestion:
        constraint?.kind === 'lock'
          ? 'Loosen its lock, or the limit.'
          : 'Allow more schemes, or loosen the limit.',
    },
  );
}
