import type { CliContext } from '../context.js';
import type { BudgetFlags, OutputFlags, PlanFlags, RunFlags, TextFlags } from '../flags.js';
import { printResult, runWork } from '../session.js';
import { planOptions } from './options.js';

export interface PlanCommandFlags extends BudgetFlags, PlanFlags, TextFlags, RunFlags, OutputFlags {}

export async function plan(this: CliContext, flags: PlanCommandFlags, model: string): Promise<void> {
  const core = await import('@bitsmith/core');
  const { renderPlan } = await import('../render/plan.js');
  const result = await runWork(this, flags, (signal) => core.plan({ ...planOptions(flags, model), signal }));
  printResult(this, flags, { json: result, draw: (terminal) => renderPlan(result, terminal) });
}
