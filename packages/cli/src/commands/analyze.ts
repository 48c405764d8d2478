import type { CliContext } from '../context.js';
import type { OutputFlags, RunFlags, TextFlags } from '../flags.js';
import { printResult, runWork } from '../session.js';
import { runOptions } from './options.js';

export interface AnalyzeFlags extends TextFlags, RunFlags, OutputFlags {
  readonly output?: string;
  readonly method?: string;
  readonly samples?: number;
  readonly schemes?: readonly string[];
  readonly scores?: string;
  readonly coverage?: number;
  readonly resume: boolean;
}

export async function analyze(this: CliContext, flags: AnalyzeFlags, model: string): Promise<void> {
  const core = await import('@bitsmith/core');
  const { renderAnalysis } = await import('../render/analysis.js');
  const { output, text, context, method, samples, schemes, scores, coverage, resume } = flags;
  const options = {
    model,
    output,
    text,
    contextTokens: context,
    method,
    samples,
    schemes,
    scores,
    coverage,
    resume,
    ...runOptions(flags),
  };
  const result = await runWork(this, flags, (signal) => core.analyze({ ...options, signal }));
  printResult(this, flags, { json: result, draw: (terminal) => renderAnalysis(result, terminal) });
}
