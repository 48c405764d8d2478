/**
 * @file A largest relative error for the weights of every tensor: schemes that pass it are no candidates. It is measured on a sample of
 * rows in the nearest codes first; codes that make each other's errors good are further from the weights, so that the written file has
 * the last word, and what misses the limit there is lifted.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { Calibration } from '../calibrate/calibrate.js';
import { weightErrors } from '../measure/errors/weight-errors.js';
import type { Wanted } from '../measure/wanted.js';
import type { SourceModel } from '../model/types.js';
import type { Budget } from '../plan/budget.js';
import { bytesRange } from '../plan/bytes.js';
import type { MergedChoice } from '../plan/coupling.js';
import type { SchemeId } from '../plan/schemes.js';
import type { Choice } from '../plan/types.js';
import { formatBytes, formatCount } from '../plan/units.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import { stage } from '../run/work.js';

/**
 * The choices without what moves weights too far. Tensors as stored are never moved.
 * @param limit largest root of sum (w - w')^2 / sum w^2
 * @throws BitsmithError `TENSOR_ERROR_IMPOSSIBLE`, naming a tensor that is left without a scheme
 */
export async function* withinTensorError(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  choices: readonly Choice[],
  limit: number,
): Work<readonly Choice[]> {
  return yield* stage('measure', `schemes with a relative error of ${limit}`, async function* () {
    const wanted = wantedOf(model, choices);
    const { values, cached } = yield* weightErrors(run, model, calibration, wanted);
    const errors = new Map(
      wanted.map(({ tensor }, index) => [
        tensor.name,
        relativeErrors(values[index].plain, values[index].squares),
      ]),
    );
    const result = choices.map((choice) => narrowed(choice, errors.get(choice.tensor), limit));
    const summary = `${countOf(result)} of ${countOf(choices)} candidates`;
    return { result, cached, summary };
  });
}

/** @throws BitsmithError `TENSOR_ERROR_IMPOSSIBLE` where even the smallest plan that holds the limit passes the budget */
export function refuseNoRoom(
  choices: readonly MergedChoice[],
  headerBytes: number,
  budget: Pick<Budget, 'request' | 'bytes'>,
  limit: number,
): void {
  const [smallest] = bytesRange(choices);
  const missing = headerBytes + smallest - budget.bytes;
  if (missing <= 0) return;
  throw new BitsmithError(
    'budget-impossible',
    'TENSOR_ERROR_IMPOSSIBLE',
    `a relative error of at most ${limit} in every tensor and ${budget.request} cannot both be had: the smallest such file takes ${formatCount(missing)} bytes more`,
    {
      expected: `a file of at most ${formatBytes(budget.bytes)}`,
      found: formatBytes(budget.bytes + missing),
      suggestion: `Allow ${formatBytes(budget.bytes + missing)}, or a larger error.`,
    },
  );
}

function wantedOf(model: SourceModel, choices: readonly Choice[]): Wanted[] {
  const candidates = new Map(choices.map((choice) => [choice.tensor, choice.candidates]));
  return model.tensors
    .map((tensor): Wanted => {
      const schemes = (candidates.get(tensor.name) ?? []).map(({ scheme }) => scheme as SchemeId);
      return { tensor, schemes: schemes.filter((scheme) => scheme !== tensor.type) };
    })
    .filter(({ schemes }) => schemes.length > 0);
}

function relativeErrors(plain: ReadonlyMap<string, number>, squares: number): Map<string, number> {
  return new Map([...plain].map(([scheme, error]) => [scheme, squares > 0 ? Math.sqrt(error / squares) : 0]));
}

function narrowed(choice: Choice, errors: ReadonlyMap<string, number> | undefined, limit: number): Choice {
  const errorOf = (scheme: string): number => errors?.get(scheme) ?? 0;
  const candidates = choice.candidates.filter(({ scheme }) => errorOf(scheme) <= limit);
  if (candidates.length === 0) throw noneLeft(choice, errorOf, limit);
  return candidates.length === choice.candidates.length ? choice : { ...choice, candidates };
}

function countOf(choices: readonly Choice[]): string {
  return choices.reduce((sum, { candidates }) => sum + candidates.length, 0).toLocaleString('en');
}

function noneLeft(
  { tensor, candidates, constraint }: Choice,
  errorOf: (scheme: string) => number,
  limit: number,
): BitsmithError {
  const best = Math.min(...candidates.map(({ scheme }) => errorOf(scheme)));
  const schemes = candidates.map(({ scheme }) => scheme).join(', ');
  return new BitsmithError(
    'budget-impossible',
    'TENSOR_ERROR_IMPOSSIBLE',
    `expected a relative error of at most ${limit} in ${tensor}, found ${best.toPrecision(4)} at best in the schemes that it may have (${schemes})`,
    {
      expected: `${limit}`,
      found: best.toPrecision(4),
      suggestion:
        constraint?.kind === 'lock'
          ? 'Loosen its lock, or the limit.'
          : 'Allow more schemes, or a larger error.',
    },
  );
}
