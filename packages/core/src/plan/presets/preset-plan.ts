/** @file A plan out of a preset of llama.cpp: what it gives every tensor, priced where prices are known. */
import type { TensorOptions } from '../options.js';
import { assemblePlan, type PlanInput } from '../plan.js';
import { constraintDecision, explained, stepsFrom } from '../reasons.js';
import type { Choice, Decision, Plan, PlannedTensor } from '../types.js';
import type { Preset } from './presets.js';

export interface PresetPlanInput {
  readonly source: PlanInput['source'];
  readonly preset: Preset;
  readonly storage: readonly TensorOptions[];
  readonly headerBytes: number;
  /** Default: the preset's own name and bytes. */
  readonly budget?: PlanInput['budget'];
  /** Prices, where they are known. */
  readonly choices?: readonly Choice[];
  /** What no plan within the budget can be priced below, where that is known. */
  readonly klLowerBound?: number | null;
}

/** The preset as a plan. Locks and kept tensors say so; all others name the preset as their reason. */
export function planFromPreset(input: PresetPlanInput): Plan {
  const { source, preset, storage, headerBytes, choices = [], klLowerBound = null } = input;
  const budget = input.budget ?? { request: `preset ${preset.name}`, bytes: preset.bytes };
  const priced = new Map(choices.map((choice) => [choice.tensor, choice]));
  const tensors = storage.map((options) => plannedLine(options, preset, priced.get(options.tensor.name)));
  return assemblePlan({ source, budget, headerBytes, tensors, klLowerBound });
}

function plannedLine(
  { tensor, options, constraint }: TensorOptions,
  { name, schemes }: Preset,
  choice: Choice | undefined,
): PlannedTensor {
  const scheme = schemes.get(tensor.name) ?? tensor.type;
  const bytes = options.find((option) => option.scheme === scheme)?.bytes ?? 0;
  const price = choice?.candidates.find((candidate) => candidate.scheme === scheme)?.klNats;
  const klNats = price ?? (scheme === tensor.type ? 0 : null);
  const decidedBy: Decision =
    constraint === null ? { kind: 'preset', note: `preset ${name}` } : constraintDecision(constraint);
  const open = constraint === null && choice !== undefined && klNats !== null;
  const steps = open ? stepsFrom(choice.candidates, { bytes, klNats }) : { up: null, down: null };
  return explained({ tensor: tensor.name, scheme, bytes, klNats, decidedBy, ...steps });
}
