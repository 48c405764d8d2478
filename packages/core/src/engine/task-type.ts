/** @file The form of every engine task; each stage's task file fills it in, and the protocol lists them. */

/** What an engine process is started with. */
export interface EngineSettings {
  readonly threads: number;
  readonly verbose: boolean;
  /** Loads the GPU engine; models then run on the GPU where their task allows it. */
  readonly gpu?: boolean;
}

/** One kind of engine work: what it is given, what it says on the way, what it returns. */
export interface TaskType<Parameters, Event, Result> {
  readonly parameters: Parameters;
  readonly event: Event;
  readonly result: Result;
}

/** A task's code in the engine: reports events, returns the result. */
export type TaskHandler<Task extends TaskType<unknown, unknown, unknown>> = (
  parameters: Task['parameters'],
  report: (event: Task['event']) => void,
  settings: EngineSettings,
) => Promise<Task['result']>;
