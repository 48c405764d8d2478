// @ts-check
/**
 * Quantizes a model from code: `node examples/quantize.mjs [MODEL] [SIZE] [OUTPUT]`.
 * Without arguments the bundled model, 4.5 MB, `orator-8m-example.gguf`.
 */
import { BitsmithError, finish, plan, quantize } from 'bitsmith';

const [model = 'models/orator-8m', size = '4.5MB', output = 'orator-8m-example.gguf'] = process.argv.slice(2);

// Ctrl-C ends the work cleanly; what was finished is kept for the next run.
const stop = new AbortController();
process.once('SIGINT', () => stop.abort(new Error('stopped')));

try {
  // Every job is an async generator of typed events that returns its result. `finish` keeps only the result:
  const planned = await finish(plan({ model, size, signal: stop.signal }));
  const head = planned.tensors.find(({ tensor }) => tensor === 'output.weight');
  console.log(
    `planned: ${planned.predicted.bytes} bytes; the output head gets ${head?.scheme ?? 'no tensor'}`,
  );

  // ... and a loop shows what happens on the way. What planning measured is in the store and not measured again.
  const work = quantize({ model, size, output, locks: ['^output\\.weight$=Q6_K'], signal: stop.signal });
  let step = await work.next();
  for (; step.done !== true; step = await work.next()) {
    const event = step.value;
    if (event.type === 'stage-end') console.log(`${event.stage}: ${event.summary}`);
  }
  const { output: file, evaluation, compressionRatio } = step.value;
  console.log(`${file.path}: ${file.byteLength} bytes, ${compressionRatio.toFixed(2)} times smaller`);
  const kl = evaluation?.klNats.mean;
  if (kl !== undefined)
    console.log(`KL ${kl.value.toFixed(4)} +- ${kl.standardError.toFixed(4)} nats per token`);
} catch (error) {
  if (!(error instanceof BitsmithError)) throw error;
  console.error(`${error.code}: ${error.message}\n${error.suggestion ?? ''}`);
  process.exitCode = error.exitCode;
}
