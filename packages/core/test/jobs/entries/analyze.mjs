// Runs the real job as a program would: options as JSON in, one JSON line an event out, then the result or the error.
import { analyze, BitsmithError } from '@bitsmith/core';

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
try {
  const work = analyze(JSON.parse(process.argv[2]));
  for (;;) {
    const step = await work.next();
    if (step.done === true) {
      const { tensors, gains, superWeights, methods } = step.value;
      say({ type: 'result', analysis: { tensors, gains, superWeights, methods } });
      break;
    }
    say(step.value);
  }
} catch (error) {
  const known = error instanceof BitsmithError;
  say({
    type: 'error',
    kind: known ? error.kind : null,
    code: known ? error.code : null,
    message: error.message,
  });
  process.exitCode = 1;
}
