/** @file A process that runs a job through the library, as a user's program would, and passes its events on. */
import {
  plan,
  type Plan,
  type PlanOptions,
  quantize,
  type QuantizeOptions,
  type QuantizeResult,
  type RunEvent,
  type Work,
} from '@bitsmith/core';

export type JobRequest =
  | { readonly kind: 'quantize'; readonly options: QuantizeOptions }
  | { readonly kind: 'plan'; readonly options: PlanOptions };

export type JobMessage =
  | { readonly type: 'event'; readonly event: RunEvent }
  | { readonly type: 'result'; readonly result: QuantizeResult | Plan };

function start(request: JobRequest): Work<QuantizeResult | Plan> {
  switch (request.kind) {
    case 'quantize':
      return quantize(request.options);
    case 'plan':
      return plan(request.options);
    default:
      return request satisfies never;
  }
}

async function run(request: JobRequest): Promise<void> {
  const work = start(request);
  for (;;) {
    const step = await work.next();
    if (step.done === true) {
      process.send?.({ type: 'result', result: step.value } satisfies JobMessage, () => process.disconnect());
      return;
    }
    process.send?.({ type: 'event', event: step.value } satisfies JobMessage);
  }
}

process.once('message', (request: JobRequest) => {
  run(request).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
