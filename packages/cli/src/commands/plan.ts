import { BitsmithError } from '@bitsmith/formats';
import type { CliContext } from '../context.js';
import type { BudgetFlags, OutputFlags, PlanFlags, RunFlags, TextFlags } from '../flags.js';
import { printResult, runWork } from '../session.js';
import { planOptions } from './options.js';

export interface PlanCommandFlags extends BudgetFlags, PlanFlags, TextFlags, RunFlags, OutputFlags {
  readonly pareto: boolean;
  readonly plans?: number;
}

export async function plan(this: CliContext, flags: PlanCommandFlags, model: string): Promise<void> {
  if (flags.pareto) return await pareto.call(this, flags, model);
  refusePlansAlone(flags);
  const core = await import('@bitsmith/core');
  const { renderPlan } = await import('../render/plan.js');
  const result = await runWork(this, flags, (signal) => core.plan({ ...planOptions(flags, model), signal }));
  printResult(this, flags, { json: result, draw: (terminal) => renderPlan(result, terminal) });
}

/** Every budget at once. */
async function pareto(this: CliContext, flags: PlanCommandFlags, model: string): Promise<void> {
  const core = await import('@bitsmith/core');
  const { renderPareto } = await import('../render/pareto.js');
  const options = { ...planOptions(flags, model), plans: flags.plans };
  const result = await runWork(this, flags, (signal) => core.pareto({ ...options, signal }));
  printResult(this, flags, { json: result, draw: (terminal) => renderPareto(result, terminal) });
}

/** One plan is not read through others. */
function refusePlansAlone({ plans }: PlanCommandFlags): void {
  if (plans === undefined) return;
  throw new BitsmithError(
    'arguments',
    'PLANS_WITHOUT_PARETO',
    `--plans ${plans}: expected --pareto beside it`,
    { suggestion: 'Give --pareto, too, for the curve of all budgets; or leave out --plans.' },
  );
}
