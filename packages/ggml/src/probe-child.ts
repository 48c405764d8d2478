/** @file The child of the start-up probe: loads the engine, checks it, and prints what it found as one line of JSON. */
import { serializeError } from '@bitsmith/formats';
import { type Engine, gpuDevices, loadEngine } from './api/engine.js';
import { selfCheck } from './api/self-check.js';

async function main(): Promise<void> {
  try {
    const engine = loadEngine({ threads: 1, gpu: process.argv.includes('--gpu') });
    const { failures, bitExact } = await selfCheck(engine);
    report({
      description: { ...engine.description, bitExact },
      failures: [...failures, ...startGpus(engine)],
    });
  } catch (error) {
    report({ error: serializeError(error) });
  }
}

/** Starts each GPU once: a driver that cannot fails here, and not in the middle of the work. */
function startGpus({ description, native }: Engine): string[] {
  if (description.gpu === undefined) return [];
  return gpuDevices(native).flatMap((device) => {
    const backend = native.ggml_backend_dev_init(device, null);
    if (backend === null) return [`${native.ggml_backend_dev_description(device)} does not start`];
    native.ggml_backend_free(backend);
    return [];
  });
}

function report(result: unknown): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

await main();
