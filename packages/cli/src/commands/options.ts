/** @file Flags in the core's terms. */
import type { BudgetFlags, OutputFlags, PlanFlags, RunFlags, TextFlags } from '../flags.js';

/** What `quantize` and `plan` share. */
export function planOptions(
  flags: BudgetFlags & PlanFlags & TextFlags & RunFlags & OutputFlags,
  model: string,
) {
  return {
    model,
    size: flags.size,
    bitsPerWeight: flags.bpw,
    ratio: flags.ratio,
    locks: flags.lock,
    floors: flags.floor,
    couple: flags.couple,
    schemes: flags.schemes,
    planFile: flags.plan,
    savePlan: flags.savePlan,
    tensorTypeFile: flags.tensorTypeFile,
    text: flags.text,
    importanceMatrix: flags.imatrix,
    method: flags.method,
    samples: flags.samples,
    workMemory: flags.workMemory,
    contextTokens: flags.chunk,
    ...runOptions(flags),
  };
}

function runOptions(flags: Pick<RunFlags, 'threads' | 'gpu' | 'seed' | 'home' | 'token'> & OutputFlags) {
  const { threads, gpu, seed, home, token, verbose } = flags;
  return { threads, gpu, seed, home, token, verbose };
}
