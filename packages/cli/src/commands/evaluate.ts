import type { CliContext } from '../context.js';
import type { OutputFlags, RunFlags, TextFlags } from '../flags.js';
import { printResult, runWork } from '../session.js';

export interface EvaluateFlags
  extends TextFlags, Pick<RunFlags, 'threads' | 'gpu' | 'home' | 'token'>, OutputFlags {
  readonly tokens?: number;
}

export async function evaluate(
  this: CliContext,
  flags: EvaluateFlags,
  source: string,
  output: string,
): Promise<void> {
  const core = await import('@bitsmith/core');
  const { renderEvaluation } = await import('../render/evaluation.js');
  const { text, chunk, tokens, threads, gpu, home, token, verbose } = flags;
  const options = {
    source,
    output,
    text,
    contextTokens: chunk,
    tokens,
    threads,
    gpu,
    home,
    token,
    verbose,
  };
  const { evaluation } = await runWork(this, flags, (signal) => core.evaluate({ ...options, signal }));
  printResult(this, flags, {
    json: evaluation,
    draw: (terminal) => renderEvaluation(evaluation, { source, output }, terminal),
  });
}
