/** @file Small tools for long work written as async generators of events. */
import { BitsmithError } from '@bitsmith/formats';
import type { RunEvent, Stage, Work } from './events.js';

/** Turns work that reports by callback into a generator: events in order, then the result. */
export async function* streamed<Event, Result>(
  start: (emit: (event: Event) => void) => Promise<Result>,
): AsyncGenerator<Event, Result, void> {
  const queue: Event[] = [];
  let wake: () => void = () => undefined;
  let settled = false;
  const outcome = start((event) => {
    queue.push(event);
    wake();
  }).finally(() => {
    settled = true;
    wake();
  });
  // The rejection is delivered by the final await; this keeps it from counting as unhandled until then.
  outcome.catch(() => undefined);
  while (!settled || queue.length > 0) {
    while (queue.length > 0) yield queue.shift() as Event;
    if (!settled) {
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (queue.length > 0 || settled) resolve();
      });
    }
  }
  return outcome;
}

/** What a stage returns besides its result: how it describes itself. */
export interface StageOutcome<Result> {
  readonly result: Result;
  readonly summary: string;
  readonly cached: boolean;
}

/** Frames a stage's events with its start and end, and measures the seconds between. */
export async function* stage<Result>(
  name: Stage,
  label: string,
  body: () => AsyncGenerator<RunEvent, StageOutcome<Result>, void>,
): Work<Result> {
  const started = performance.now();
  yield { type: 'stage-start', stage: name, label };
  const { result, summary, cached } = yield* progressOf(name, body());
  yield { type: 'stage-end', stage: name, seconds: (performance.now() - started) / 1000, cached, summary };
  return result;
}

/** What is measured inside of a stage is that stage's progress. */
async function* progressOf<Result>(
  name: Stage,
  body: AsyncGenerator<RunEvent, Result, void>,
): AsyncGenerator<RunEvent, Result, void> {
  try {
    for (;;) {
      const step = await body.next();
      if (step.done === true) return step.value;
      const event = step.value;
      yield event.type === 'progress' ? { ...event, stage: name } : event;
    }
  } finally {
    await body.return(undefined as never);
  }
}

/** Runs work to its end and keeps only the result. */
export async function finish<Result>(work: Work<Result>): Promise<Result> {
  for (;;) {
    const step = await work.next();
    if (step.done === true) return step.value;
  }
}

/**
 * Repeats engine work after a crash, as long as each attempt got further than the last: `attempt` does what is still
 * missing and `missing` counts it.
 */
export async function withNewEngineAfterCrash(
  missing: () => Promise<number> | number,
  attempt: () => Promise<void>,
  onCrash: (error: BitsmithError) => void,
): Promise<void> {
  let before = await missing();
  let retried = false;
  while (before > 0) {
    try {
      await attempt();
      return;
    } catch (error) {
      if (!isCrash(error)) throw error;
      const after = await missing();
      if (after >= before && retried) throw error;
      retried = after >= before;
      before = after;
      onCrash(error);
    }
  }
}

/** Engine work in one piece, with nothing to continue from: repeated once after a crash, in a new engine. */
export async function againAfterCrash<Result>(
  attempt: () => Promise<Result>,
  onCrash: (error: BitsmithError) => void,
): Promise<Result> {
  try {
    return await attempt();
  } catch (error) {
    if (!isCrash(error)) throw error;
    onCrash(error);
    return attempt();
  }
}

/** Every way in which an engine process dies under a task. */
const CRASHES: ReadonlySet<string> = new Set(['ENGINE_CRASHED', 'ENGINE_KILLED', 'ENGINE_OUT_OF_MEMORY']);

function isCrash(error: unknown): error is BitsmithError {
  return error instanceof BitsmithError && CRASHES.has(error.code);
}

/** Sums up the seconds of each stage as the events pass by. */
export async function* timed<Result>(
  work: Work<Result>,
  seconds: Partial<Record<Stage, number>>,
): Work<Result> {
  for (;;) {
    const step = await work.next();
    if (step.done === true) return step.value;
    if (step.value.type === 'stage-end') {
      seconds[step.value.stage] = (seconds[step.value.stage] ?? 0) + step.value.seconds;
    }
    yield step.value;
  }
}
