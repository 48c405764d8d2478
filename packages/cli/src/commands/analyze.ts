import { BitsmithError } from '@bitsmith/formats';
import type { CliContext } from '../context.js';
import type { OutputFlags, RunFlags, TextFlags } from '../flags.js';
import { printResult, runWork } from '../session.js';

export interface AnalyzeFlags extends TextFlags, RunFlags, OutputFlags {
  readonly output?: string;
  readonly method?: string;
  readonly samples?: number;
  readonly schemes?: readonly string[];
  readonly scores?: string;
  readonly workMemory?: string;
  readonly memory?: string;
  readonly plans?: number;
  readonly interactions: boolean;
  readonly coverage?: number;
  readonly resume: boolean;
}

export async function analyze(this: CliContext, flags: AnalyzeFlags, model: string): Promise<void> {
  const core = await import('@bitsmith/core');
  const { renderAnalysis } = await import('../render/analysis.js');
  const { chunk, memory, workMemory, json: _json, quiet: _quiet, ...rest } = flags;
  if (memory !== undefined && workMemory !== undefined) throw bothMemories();
  const options = { ...rest, model, contextTokens: chunk, workMemory: workMemory ?? memory };
  const result = await runWork(this, flags, (signal) => core.analyze({ ...options, signal }));
  printResult(this, flags, { json: result, draw: (terminal) => renderAnalysis(result, terminal) });
}

function bothMemories(): BitsmithError {
  return new BitsmithError(
    'arguments',
    'ARGUMENTS_INVALID',
    'expected --work-memory or --memory, found both: they are the same',
    { suggestion: 'Leave one of them out.' },
  );
}
