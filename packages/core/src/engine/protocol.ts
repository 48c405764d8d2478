/**
 * @file What passes between the command and its engine process. Requests carry paths, names and hashes, never weights:
 * the engine reads the source and writes artifacts itself.
 */
import type { SerializedError } from '@bitsmith/formats';
import type { CalibrateTask } from '../calibrate/task.js';
import type { EncodeTask } from '../encode/task.js';
import type { VerifyTask } from '../encode/verify-task.js';
import type { EvaluateTask } from '../evaluate/task.js';
import type { ErrorsTask } from '../measure/errors-task.js';
import type { ProbeTask } from '../measure/probe-task.js';
import type { TokenizeTask } from '../text/task.js';

/** One kind of engine work: what it is given, what it says on the way, what it returns. */
export interface TaskType<Parameters, Event, Result> {
  readonly parameters: Parameters;
  readonly event: Event;
  readonly result: Result;
}

/** Every kind of work an engine does. */
export interface EngineTasks {
  tokenize: TokenizeTask;
  calibrate: CalibrateTask;
  errors: ErrorsTask;
  probe: ProbeTask;
  encode: EncodeTask;
  verify: VerifyTask;
  evaluate: EvaluateTask;
}

export type TaskKind = keyof EngineTasks;

export interface EngineRequest<Kind extends TaskKind = TaskKind> {
  readonly id: number;
  readonly kind: Kind;
  readonly parameters: EngineTasks[Kind]['parameters'];
}

export type EngineReply =
  | { readonly id: number; readonly type: 'event'; readonly event: unknown }
  | { readonly id: number; readonly type: 'result'; readonly result: unknown }
  | { readonly id: number; readonly type: 'error'; readonly error: SerializedError };

/** What an engine process is started with. */
export interface EngineSettings {
  readonly threads: number;
  readonly verbose: boolean;
}

/** A task's code in the engine: reports events, returns the result. */
export type TaskHandler<Task extends TaskType<unknown, unknown, unknown>> = (
  parameters: Task['parameters'],
  report: (event: Task['event']) => void,
  settings: EngineSettings,
) => Promise<Task['result']>;
