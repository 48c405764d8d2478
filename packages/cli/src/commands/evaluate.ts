import { BitsmithError } from '@bitsmith/formats';
import type { CliContext } from '../context.js';
import type { OutputFlags, RunFlags, TextFlags } from '../flags.js';
import { printResult, runWork } from '../session.js';

export interface EvaluateFlags
  extends TextFlags, Pick<RunFlags, 'threads' | 'gpu' | 'home' | 'token'>, OutputFlags {
  readonly tokens?: number;
  readonly activations?: 'int8';
  readonly activationScales?: string;
  readonly equalize?: string;
}

export async function evaluate(
  this: CliContext,
  flags: EvaluateFlags,
  source: string,
  output?: string,
): Promise<void> {
  if (flags.activations !== undefined) return await evaluateInt8.call(this, flags, source, output);
  if (output === undefined) throw nothingToCompare();
  refuseInt8Alone(flags);
  const core = await import('@bitsmith/core');
  const { renderEvaluation } = await import('../render/evaluation.js');
  const options = { ...optionsOf(flags), source, output };
  const { evaluation } = await runWork(this, flags, (signal) => core.evaluate({ ...options, signal }));
  printResult(this, flags, {
    json: evaluation,
    draw: (terminal) => renderEvaluation(evaluation, { source, output }, terminal),
  });
}

/** The source beside itself in 8 bits. */
async function evaluateInt8(
  this: CliContext,
  flags: EvaluateFlags,
  model: string,
  output: string | undefined,
): Promise<void> {
  if (output !== undefined) throw fileBesideActivations(output);
  const core = await import('@bitsmith/core');
  const { renderInt8 } = await import('../render/evaluation.js');
  const { activationScales, equalize } = flags;
  const options = { ...optionsOf(flags), model, activationScales, equalize };
  const found = await runWork(this, flags, (signal) => core.evaluateActivations({ ...options, signal }));
  const { scores: _, ...result } = found;
  printResult(this, flags, { json: result, draw: (terminal) => renderInt8(result, model, terminal) });
}

function optionsOf({ text, chunk, tokens, threads, gpu, home, token, verbose }: EvaluateFlags) {
  return { text, contextTokens: chunk, tokens, threads, gpu, home, token, verbose };
}

function nothingToCompare(): BitsmithError {
  return new BitsmithError(
    'arguments',
    'ARGUMENTS_INVALID',
    'expected a file to hold against the source, found none',
    {
      suggestion: 'Name a quantized GGUF, or give --activations int8 to compute the source itself in 8 bits.',
    },
  );
}

function fileBesideActivations(file: string): BitsmithError {
  return new BitsmithError(
    'arguments',
    'FILE_BESIDE_ACTIVATIONS',
    `expected a file or --activations, found both: ${file}`,
    {
      suggestion:
        'Leave out the file to compute the source itself in 8 bits, or --activations to measure the file.',
    },
  );
}

/** Of a file, activations are computed as its engine does. */
function refuseInt8Alone({ activationScales, equalize }: EvaluateFlags): void {
  const flags = Object.entries({ 'activation-scales': activationScales, equalize }).flatMap(([flag, value]) =>
    value === undefined ? [] : [`--${flag} ${value}`],
  );
  if (flags.length === 0) return;
  throw new BitsmithError(
    'arguments',
    'INT8_WITHOUT_ACTIVATIONS',
    `${flags.join(' ')}: expected --activations int8 beside it`,
    { suggestion: 'Give --activations int8, too, and no file; or leave it out.' },
  );
}
