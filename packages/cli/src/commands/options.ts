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
    memory: flags.memory,
    context: flags.context,
    keyValueType: flags.kvType,
    maxKl: flags.maxKl,
    maxPerplexityIncrease: flags.maxPplIncrease,
    minCosine: flags.minCosine,
    maxTensorError: flags.maxTensorError,
    locks: flags.lock,
    floors: flags.floor,
    couple: flags.couple,
    schemes: flags.schemes,
    planFile: flags.plan,
    preset: flags.preset,
    profile: flags.profile,
    policy: flags.policy,
    target: flags.target,
    savePlan: flags.savePlan,
    tensorTypeFile: flags.tensorTypeFile,
    text: flags.text,
    importanceMatrix: flags.imatrix,
    encoder: flags.encoder,
    method: flags.method,
    samples: flags.samples,
    search: flags.search,
    searchTokens: flags.searchTokens,
    // Not given is not a no: a profile may say yes.
    protectSuperWeights: flags.protectSuperWeights || undefined,
    protectBits: flags.protectBits,
    coverage: flags.coverage,
    equalize: flags.equalize,
    workMemory: flags.workMemory,
    contextTokens: flags.chunk,
    ...runOptions(flags),
  };
}

function runOptions(flags: Pick<RunFlags, 'threads' | 'gpu' | 'seed' | 'home' | 'token'> & OutputFlags) {
  const { threads, gpu, seed, home, token, verbose } = flags;
  return { threads, gpu, seed, home, token, verbose };
}
