import type { CliContext } from '../context.js';
import type { OutputFlags, RunFlags, TextFlags } from '../flags.js';
import { printResult, runWork } from '../session.js';

export interface AnalyzeFlags extends TextFlags, RunFlags, OutputFlags {
  readonly output?: string;
  readonly method?: string;
  readonly samples?: number;
  readonly schemes?: readonly string[];
  readonly scores?: string;
  readonly memory?: string;
  readonly plans?: number;
  readonly interactions: boolean;
  readonly coverage?: number;
  readonly resume: boolean;
}

export async function analyze(this: CliContext, flags: AnalyzeFlags, model: string): Promise<void> {
  const core = await import('@bitsmith/core');
  const { renderAnalysis } = await import('../render/analysis.js');
  const { context, json: _json, quiet: _quiet, ...rest } = flags;
  const options = { ...rest, model, contextTokens: context };
  const result = await runWork(this, flags, (signal) => core.analyze({ ...options, signal }));
  printResult(this, flags, { json: result, draw: (terminal) => renderAnalysis(result, terminal) });
}
