/**
 * @file Native calls off the JavaScript thread. koffi runs them on libuv's pool and refuses a call when its queue is full,
 * so calls beyond a limit wait here. Buffers a call uses are held until it returns.
 */

/** What koffi's functions offer besides being called. */
export interface AsyncCapable<Arguments extends unknown[], Result> {
  (...args: Arguments): Result;
  async(...args: [...Arguments, (error: unknown, result: Result) => void]): void;
}

/** Far below koffi's own bound of 256 queued calls. */
const maxCallsInFlight = 64;

let inFlight = 0;
const waiting: (() => void)[] = [];
const held = new Set<readonly unknown[]>();

/** Calls `fn` on another thread; every argument stays referenced until it has returned. */
export function callAsync<Arguments extends unknown[], Result>(
  fn: AsyncCapable<Arguments, Result>,
  ...args: Arguments
): Promise<Result> {
  return callHolding(null, fn, ...args);
}

/** The same, keeping `keep` referenced as well: what the arguments point to. */
export async function callHolding<Arguments extends unknown[], Result>(
  keep: unknown,
  fn: AsyncCapable<Arguments, Result>,
  ...args: Arguments
): Promise<Result> {
  if (inFlight >= maxCallsInFlight) await new Promise<void>((resolve) => waiting.push(resolve));
  else inFlight += 1;
  const hold = [keep, ...args];
  held.add(hold);
  try {
    return await new Promise<Result>((resolve, reject) => {
      fn.async(...args, (error, result) => {
        if (error === null || error === undefined) resolve(result);
        else reject(error instanceof Error ? error : new Error(String(error)));
      });
    });
  } finally {
    held.delete(hold);
    const next = waiting.shift();
    if (next === undefined) inFlight -= 1;
    else next();
  }
}

/** Runs native work on this thread, keeping `keep` referenced until it has returned. */
export function holding<Result>(keep: unknown, work: () => Result): Result {
  const hold = [keep];
  held.add(hold);
  try {
    return work();
  } finally {
    held.delete(hold);
  }
}

/**
 * Environment for a process that will run the engine with this many parallel calls: libuv sizes its pool once, from the
 * environment the process starts with.
 */
export function engineEnvironment(parallelCalls: number): { UV_THREADPOOL_SIZE: string } {
  return { UV_THREADPOOL_SIZE: String(Math.min(1024, Math.max(4, parallelCalls + 2))) };
}
