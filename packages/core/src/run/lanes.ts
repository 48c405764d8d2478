/** @file A fixed number of jobs at a time, in order of start. */

/** Runs `job` over `items`, at most `lanes` at once; the first failure stops new starts and is thrown. */
export async function inLanes<Item>(
  lanes: number,
  items: Iterable<Item>,
  job: (item: Item) => Promise<void>,
): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let failed = false;
  const lane = async (): Promise<void> => {
    while (!failed) {
      const next = iterator.next();
      if (next.done === true) return;
      try {
        await job(next.value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: lanes }, lane));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
}
