/**
 * @file The planning stage: from a budget, locks and measured losses to a plan, and plans to files and back. Everything here
 * is a pure function: no files, clocks or native code. In order of use:
 *
 * 1. `parseLock`, `applyLocks`, `parseFloor`, `parseCouplings`, `parseBudget`: what the user asks for.
 * 2. `storageOptions`, `applyFloors`, `coupleOptions`, `dataRange`, `resolveBudget`: what is possible, before anything is measured.
 * 3. `encodableSchemes`: what to measure; `priceOptions`: what it means in nats.
 * 4. `makePlan` (or `readPlanFile` and `planFromFile`): the plan.
 * 5. `writePlanFile`, `tensorTypeFile`, `fileTypeOf`: the plan for people, for llama.cpp, and as one number.
 */
export { parseBudget, parseSize, resolveBudget } from './budget.js';
export type { Budget, BudgetFacts, BudgetOptions, BudgetTerm } from './budget.js';
export { FILE_ALIGNMENT, fileBytes, storedBytes } from './bytes.js';
export { ggufTypes, refuseNoneLegal, refuseNotGguf } from './container.js';
export { coupleOptions, couplingGroups, parseCouplings } from './coupling.js';
export type { CouplingGroup, CouplingKind } from './coupling.js';
export { fileTypeOf } from './file-type.js';
export { applyFloors, parseFloor } from './floors.js';
export type { Floor } from './floors.js';
export { applyLocks, parseLock } from './locks.js';
export type { AppliedLock, Lock } from './locks.js';
export { dataRange, storageOptions } from './options.js';
export type { DataRange, StorageOption, TensorOptions } from './options.js';
export { paretoCurve } from './pareto.js';
export type { ParetoCurve, ParetoInput, ParetoPoint, PresetPoint, SolvedPoint } from './pareto.js';
export { makePlan, planHash } from './plan.js';
export type { PlanInput } from './plan.js';
export { PLAN_FILE_VERSION, writePlanFile } from './plan-file.js';
export { planFromFile } from './plan-from-file.js';
export type { PlanFromFileInput } from './plan-from-file.js';
export { planFromPreset } from './presets/preset-plan.js';
export { parsePresetName, presetNamed, presetNames, presetPlans } from './presets/presets.js';
export type { Preset, PresetName, PresetRecipes } from './presets/presets.js';
export { priceOptions } from './price.js';
export type { TensorMeasurement } from './price.js';
export { parsePolicy, parseTarget, policies, policyFloors, targets } from './profiles/policies.js';
export type { PolicyName, TargetName } from './profiles/policies.js';
export { readProfile, writeProfile } from './profiles/profile.js';
export type { Profile } from './profiles/profile.js';
export { profileOn } from './profiles/profile-on.js';
export type { ProfileFit } from './profiles/profile-on.js';
export { tensorLocks } from './profiles/tensor-locks.js';
export { quantizable } from './quantizable.js';
export type { Quantizable, QuantizableTensor } from './quantizable.js';
export { readPlanFile } from './read-plan-file.js';
export type { PlanFile } from './read-plan-file.js';
export { parseSchemes } from './scheme-list.js';
export { encodableSchemes } from './encodable-schemes.js';
export { bitsOf, findScheme, isLegalForRows, legalSchemes, schemes } from './schemes.js';
export type { CatalogueScheme, SchemeId, StorageType } from './schemes.js';
export { asRulePlan, rulePrices, withoutUnit } from './rules/rule-prices.js';
export { solve } from './solve.js';
export type { KnapsackChoice, Solution } from './solve.js';
export { tensorTypeFile } from './tensor-type-file.js';
export { worthMeasuring } from './worth-measuring.js';
export type { OpenCandidate } from './worth-measuring.js';
export type {
  Candidate,
  Choice,
  Decision,
  Limit,
  Plan,
  PlannedTensor,
  PlanStep,
  Scheme,
  SchemeFamily,
} from './types.js';
