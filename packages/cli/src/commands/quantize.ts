import type { CliContext } from '../context.js';
import type { BudgetFlags, OutputFlags, PlanFlags, RunFlags, TextFlags } from '../flags.js';
import { printResult, runWork } from '../session.js';
import { planOptions } from './options.js';

export interface QuantizeFlags extends BudgetFlags, PlanFlags, TextFlags, RunFlags, OutputFlags {
  readonly output?: string;
  readonly noVerify: boolean;
  readonly coherence: boolean;
  readonly keepCollapsed: boolean;
}

export async function quantize(this: CliContext, flags: QuantizeFlags, model: string): Promise<void> {
  const core = await import('@bitsmith/core');
  const { renderSummary } = await import('../render/summary.js');
  const { output, noVerify, coherence, keepCollapsed } = flags;
  const options = {
    ...planOptions(flags, model),
    output,
    verify: !noVerify,
    coherence: coherence || undefined,
    keepCollapsed,
  };
  const result = await runWork(this, flags, (signal) => core.quantize({ ...options, signal }));
  printResult(this, flags, { json: result, draw: (terminal) => renderSummary(result, terminal) });
}
