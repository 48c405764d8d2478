/** @file A process that runs the main job through the library, as a user's program would, and passes its events on. */
import { quantize, type QuantizeOptions, type QuantizeResult, type RunEvent } from '@bitsmith/core';

export type JobMessage =
  | { readonly type: 'event'; readonly event: RunEvent }
  | { readonly type: 'result'; readonly result: QuantizeResult };

async function run(options: QuantizeOptions): Promise<void> {
  const work = quantize(options);
  for (;;) {
    const step = await work.next();
    if (step.done === true) {
      process.send?.({ type: 'result', result: step.value } satisfies JobMessage, () => process.disconnect());
      return;
    }
    process.send?.({ type: 'event', event: step.value } satisfies JobMessage);
  }
}

process.once('message', (options: QuantizeOptions) => {
  run(options).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
