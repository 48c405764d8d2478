/**
 * @file Why a tensor is stored as it is: what decided, and what the nearest scheme up and down would change, as data and in
 * words. Steps run along the candidates that no other beats in both bytes and loss.
 */
import type { Candidate, Choice, Decision, PlannedTensor, PlanStep } from './types.js';
import { formatCount, formatNats } from './units.js';

/** One line of a plan: the choice's candidate taken, with decision, steps and words. */
export function plannedTensor(choice: Choice, taken: Candidate): PlannedTensor {
  return explained({
    tensor: choice.tensor,
    scheme: taken.scheme,
    bytes: taken.bytes,
    klNats: taken.klNats,
    decidedBy: decisionOf(choice, taken),
    ...(choice.beside === undefined
      ? stepsFrom(choice.candidates, taken)
      : stepsBeside(choice.beside, taken)),
  });
}

/** Puts the words to a line. */
export function explained(line: Omit<PlannedTensor, 'reason'>): PlannedTensor {
  const { decidedBy, up, down } = line;
  const open = decidedBy.kind === 'price' || decidedBy.kind === 'floor';
  const words = [decidedBy.note];
  if (up !== null) words.push(`up: ${stepWords(up)} for ${formatCount(up.bytes)} bytes more`);
  else if (open) words.push('up: nothing would lose less');
  if (down !== null) words.push(`down: ${stepWords(down)} for ${formatCount(-down.bytes)} bytes less`);
  else if (open)
    words.push(decidedBy.kind === 'floor' ? 'down: not below the floor' : 'down: nothing smaller');
  return { ...line, reason: words.join('; ') };
}

/** Steps of a tensor that was not free: among what was priced beside it, else to the next sizes. */
function stepsBeside(
  options: NonNullable<Choice['beside']>,
  taken: Candidate,
): { readonly up: PlanStep | null; readonly down: PlanStep | null } {
  const priced = options.filter((option): option is Candidate => option.klNats !== null);
  const steps = stepsFrom(priced, taken);
  const unpriced = stepsBySize(options, taken);
  // What is stored as it was loses nothing and is always priced: alone it tells of no step.
  const known = priced.some(({ bytes, klNats }) => bytes !== taken.bytes && klNats > 0);
  return known ? steps : unpriced;
}

/** Steps to the next size, whatever it would lose. Of equal sizes the later scheme. */
export function stepsBySize(
  options: NonNullable<Choice['beside']>,
  taken: { readonly bytes: number; readonly klNats: number | null },
): { readonly up: PlanStep | null; readonly down: PlanStep | null } {
  const step = (to: (typeof options)[number] | undefined): PlanStep | null => {
    if (to === undefined) return null;
    const klNats = to.klNats === null || taken.klNats === null ? null : to.klNats - taken.klNats;
    return { scheme: to.scheme, bytes: to.bytes - taken.bytes, klNats };
  };
  const { up, down } = nextSizes(options, taken.bytes, 1);
  return { up: step(up.at(-1)), down: step(down.at(-1)) };
}

/** The options of the nearest sizes above and below so many bytes, so many sizes each. */
export function nextSizes<Option extends { readonly bytes: number }>(
  options: readonly Option[],
  taken: number,
  count: number,
): { readonly up: readonly Option[]; readonly down: readonly Option[] } {
  const sizes = [...new Set(options.map(({ bytes }) => bytes))].toSorted((a, b) => a - b);
  const larger = new Set(sizes.filter((bytes) => bytes > taken).slice(0, count));
  const smaller = new Set(sizes.filter((bytes) => bytes < taken).slice(-count));
  return {
    up: options.filter(({ bytes }) => larger.has(bytes)),
    down: options.filter(({ bytes }) => smaller.has(bytes)),
  };
}

function stepWords({ scheme, klNats }: PlanStep): string {
  if (klNats === null) return `${scheme}, not priced,`;
  return `${scheme} ${klNats < 0 ? 'saves' : 'loses'} ${formatNats(Math.abs(klNats))} nats`;
}

/** The steps from one candidate to its neighbours on the frontier of bytes against loss. */
export function stepsFrom(
  candidates: readonly Candidate[],
  taken: Pick<Candidate, 'bytes' | 'klNats'>,
): { readonly up: PlanStep | null; readonly down: PlanStep | null } {
  let above: Candidate | null = null;
  let below: Candidate | null = null;
  for (const candidate of candidates) {
    const { bytes, klNats } = candidate;
    if (bytes > taken.bytes && klNats < taken.klNats) {
      if (above === null || bytes < above.bytes || (bytes === above.bytes && klNats < above.klNats))
        above = candidate;
    }
    if (bytes < taken.bytes) {
      if (below === null || klNats < below.klNats || (klNats === below.klNats && bytes < below.bytes))
        below = candidate;
    }
  }
  const step = (to: Candidate | null): PlanStep | null =>
    to === null
      ? null
      : { scheme: to.scheme, bytes: to.bytes - taken.bytes, klNats: to.klNats - taken.klNats };
  return { up: step(above), down: step(below) };
}

/** The line of a coupled tensor: its own part in the steps of its group. */
export function steppedTogether(
  { candidates }: Choice,
  line: PlannedTensor,
  group: Pick<PlannedTensor, 'up' | 'down'>,
): PlannedTensor {
  const own = (step: PlanStep | null): PlanStep | null => {
    const to = candidates.find(({ scheme }) => scheme === step?.scheme);
    if (to === undefined || line.klNats === null) return null;
    return { scheme: to.scheme, bytes: to.bytes - line.bytes, klNats: to.klNats - line.klNats };
  };
  if (line.decidedBy.kind === 'lock') return line;
  return explained({ ...line, up: own(group.up), down: own(group.down) });
}

/** What decided, when one of the choice's candidates was taken: a floor does where nothing smaller was left. */
function decisionOf({ constraint, limits = [], candidates }: Choice, taken: Candidate): Decision {
  if (constraint !== null) return constraintDecision(constraint);
  const coupling = limits.find(({ kind }) => kind === 'coupling');
  if (coupling !== undefined) return coupling;
  const floor = limits.find(({ kind }) => kind === 'floor');
  if (floor !== undefined && !candidates.some(({ bytes }) => bytes < taken.bytes)) return floor;
  return { kind: 'price', note: 'by price' };
}

/** What decided for a tensor that was not free. */
export function constraintDecision({ kind, note }: NonNullable<Choice['constraint']>): Decision {
  switch (kind) {
    case 'lock':
      return { kind, note: `locked by '${note}'` };
    case 'kept':
    case 'only-legal':
      return { kind, note: `kept as stored: ${note}` };
    case 'plan-file':
      return { kind, note };
    default:
      return kind satisfies never;
  }
}
