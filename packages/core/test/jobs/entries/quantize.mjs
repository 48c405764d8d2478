// Runs the real job as a program would: options as JSON in, one JSON line an event out, then the result or the error.
import { BitsmithError, quantize } from '@bitsmith/core';

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
try {
  const work = quantize(JSON.parse(process.argv[2]));
  for (;;) {
    const step = await work.next();
    if (step.done === true) {
      say({ type: 'result', sha256: step.value.output.sha256, planHash: step.value.plan.hash });
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
