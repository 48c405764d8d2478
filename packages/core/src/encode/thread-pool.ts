/**
 * @file Threads that answer one kind of request: as many as requests are made at once, kept for the next ones. None holds the process
 * open while it has nothing to do.
 */
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { deserializeError, type SerializedError } from '@bitsmith/formats';

/** What a thread answers, or why it cannot. */
export type Answer<Result> = Result | { readonly error: SerializedError };

/** What short-lived objects of a thread may take: by default it would be 48 MB, of garbage nearly all. */
const YOUNG_MB = 4;

export class ThreadPool<Job, Result extends object> {
  private readonly entry: string;
  private readonly free: Worker[] = [];

  /** @param entry an export of this package, whose file answers jobs: `@bitsmith/core/affine-worker` */
  constructor(entry: string) {
    this.entry = entry;
  }

  /**
   * Has a free thread do the job, or a new one. One that fails is not used again.
   * @param moved memory that goes over without a copy; it comes back, if at all, in the answer
   * @throws BitsmithError what the thread threw
   */
  async run(job: Job, moved: readonly ArrayBuffer[]): Promise<Result> {
    const worker = this.free.pop() ?? this.start();
    const answer = await ask<Job, Result>(worker, job, moved);
    this.free.push(worker);
    if ('error' in answer) throw deserializeError(answer.error as SerializedError);
    return answer as Result;
  }

  private start(): Worker {
    const file = createRequire(import.meta.url).resolve(this.entry);
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MB };
    const worker = new Worker(file, { execArgv: [], resourceLimits });
    worker.unref();
    return worker;
  }
}

async function ask<Job, Result extends object>(
  worker: Worker,
  job: Job,
  moved: readonly ArrayBuffer[],
): Promise<Answer<Result>> {
  worker.ref();
  try {
    return await new Promise<Answer<Result>>((resolve, reject) => {
      const done = (answer: Answer<Result>): void => {
        worker.off('error', failed);
        resolve(answer);
      };
      const failed = (error: unknown): void => {
        worker.off('message', done);
        reject(error);
      };
      worker.once('message', done).once('error', failed);
      worker.postMessage(job, [...moved]);
    });
  } finally {
    worker.unref();
  }
}
