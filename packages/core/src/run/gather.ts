/** @file Many small results, each an artifact of its own: what is in the store is read, the engine makes the rest. */
import type { RunContext } from './context.js';
import type { RunEvent } from './events.js';
import type { TaskIdentity } from './store.js';
import { streamed, withNewEngineAfterCrash } from './work.js';

export interface Gathering<Item, Value> {
  readonly items: readonly Item[];
  /** Of the artifact. */
  taskOf(item: Item): TaskIdentity;
  /** What the items are, for the progress line. */
  readonly label: string;
  readonly unit: 'tensors' | 'measurements';
  /** Makes what is missing, in the engine; `store` takes each result as it comes. */
  work(missing: readonly Item[], store: (item: Item, value: Value) => void): Promise<unknown>;
}

export interface Gathered<Value> {
  /** One an item, in order. */
  readonly values: readonly Value[];
  /** True when every artifact was already there. */
  readonly cached: boolean;
}

/** Reads the artifacts that are there and lets `work` make the others, in a new engine if one dies. */
export async function* gatherMissing<Item, Value>(
  run: RunContext,
  { items, taskOf, label, unit, work }: Gathering<Item, Value>,
): AsyncGenerator<RunEvent, Gathered<Value>, void> {
  const known = new Map<Item, Value>();
  for (const item of items) {
    const value = await run.store.readJson<Value>(taskOf(item));
    if (value !== null) known.set(item, value);
  }
  const missing = (): Item[] => items.filter((item) => !known.has(item));
  const cached = missing().length === 0;
  yield* streamed<RunEvent, void>(async (emit) => {
    const progress = (): void =>
      emit({ type: 'progress', stage: 'measure', done: known.size, total: items.length, unit, item: label });
    progress();
    await withNewEngineAfterCrash(
      () => missing().length,
      async () => {
        const writes: Promise<void>[] = [];
        try {
          await work(missing(), (item, value) => {
            known.set(item, value);
            const write = run.store.writeJson(taskOf(item), value);
            // A full disk fails here while the engine works on: it is told below, not as an unhandled rejection.
            write.catch(() => undefined);
            writes.push(write);
            progress();
          });
        } finally {
          await Promise.allSettled(writes);
        }
        await Promise.all(writes);
      },
      (error) => emit({ type: 'note', level: 'warning', message: error.message }),
    );
  });
  return { values: items.map((item) => known.get(item) as Value), cached };
}
