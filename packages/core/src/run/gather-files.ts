/**
 * @file Results too large for JSON: files that the engine makes one after the other, each an artifact of its own. What is in the
 * store is kept, the engine makes the rest, in a new engine if one dies.
 */
import { sha256 } from '../io/hash.js';
import type { RunContext } from './context.js';
import type { RunEvent } from './events.js';
import { MadeFiles } from './made-files.js';
import { type TaskIdentity, taskKey } from './store.js';
import { streamed, withNewEngineAfterCrash } from './work.js';

/** What the making of files is given. */
export interface FileMaking<Item> {
  /** What is missing, with the name that each file is made under. */
  readonly outputs: ReadonlyMap<Item, string>;
  /** A name for a file that is needed on the way only. */
  scratch(extension: string): string;
  /** Gives a finished file its place. */
  finished(item: Item): void;
  emit(event: RunEvent): void;
}

export interface FileGathering<Item> {
  readonly items: readonly Item[];
  /** Of the artifact. */
  taskOf(item: Item): TaskIdentity;
  readonly extension: string;
  /** What the items are, for the progress line. */
  readonly label: string;
  /** Makes what is missing, in the engine. */
  work(making: FileMaking<Item>): Promise<unknown>;
}

export interface GatheredFiles {
  /** One an item, in order. */
  readonly paths: readonly string[];
  /** Names everything that the files depend on: SHA-256 over their tasks' keys. */
  readonly hash: string;
  /** True when every file was already there. */
  readonly cached: boolean;
}

export async function* gatherFiles<Item>(
  run: RunContext,
  { items, taskOf, extension, label, work }: FileGathering<Item>,
): AsyncGenerator<RunEvent, GatheredFiles, void> {
  const absent = async (): Promise<Item[]> => {
    const found = await Promise.all(items.map((item) => run.store.find(taskOf(item), extension)));
    return items.filter((_, index) => found[index] === null);
  };
  const missing = (await absent()).length;
  yield* streamed<RunEvent, void>(async (emit) => {
    let done = items.length - missing;
    const progress = (): void =>
      emit({
        type: 'progress',
        stage: 'measure',
        done,
        total: items.length,
        unit: 'measurements',
        item: label,
      });
    progress();
    await withNewEngineAfterCrash(
      async () => (await absent()).length,
      async () => {
        const made = new MadeFiles(run.store);
        const outputs = new Map((await absent()).map((item) => [item, made.name(extension)]));
        const finished = (item: Item): void => {
          made.adopt(outputs.get(item) as string, taskOf(item), extension);
          done++;
          progress();
        };
        try {
          await work({ outputs, scratch: (kind) => made.name(kind), finished, emit });
          await made.settled();
        } finally {
          await made.removeRest();
        }
      },
      (error) => emit({ type: 'note', level: 'warning', message: error.message }),
    );
  });
  return {
    paths: items.map((item) => run.store.pathOf(taskOf(item), extension)),
    hash: sha256(JSON.stringify(items.map((item) => taskKey(taskOf(item))))),
    cached: missing === 0,
  };
}
