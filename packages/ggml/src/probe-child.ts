/** @file The child of the start-up probe: loads the engine, checks it, and prints what it found as one line of JSON. */
import { serializeError } from '@bitsmith/formats';
import { loadEngine } from './api/engine.js';
import { selfCheck } from './api/self-check.js';

async function main(): Promise<void> {
  try {
    const engine = loadEngine({ threads: 1 });
    const { failures, bitExact } = await selfCheck(engine);
    report({ description: { ...engine.description, bitExact }, failures });
  } catch (error) {
    report({ error: serializeError(error) });
  }
}

function report(result: unknown): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

await main();
