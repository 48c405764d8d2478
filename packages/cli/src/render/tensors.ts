/** @file A plan's tensors as the reports need them: with role, block, weights and bits beside the scheme. */
import {
  blockOf,
  type Decision,
  findScheme,
  type Plan,
  type PlanStep,
  roleOf,
  type TensorRole,
} from '@bitsmith/core';

export interface ReportedTensor {
  readonly name: string;
  readonly role: TensorRole;
  readonly block: number | null;
  readonly scheme: string;
  /** Nominal bits of a code; null for a type that no plan chooses. */
  readonly bits: number | null;
  /** Weights, from the bytes and the scheme's exact bits per weight; 0 when unknown. */
  readonly weights: number;
  readonly bytes: number;
  /** Predicted loss in nats per token; null when it was never priced. */
  readonly klNats: number | null;
  readonly decidedBy: Decision;
  readonly up: PlanStep | null;
  /** True when the user fixed the scheme. */
  readonly locked: boolean;
}

export function reportedTensors(plan: Plan, architecture: string): ReportedTensor[] {
  return plan.tensors.map((planned) => {
    const scheme = findScheme(planned.scheme);
    return {
      name: planned.tensor,
      role: roleOf(planned.tensor, architecture),
      block: blockOf(planned.tensor),
      scheme: planned.scheme,
      bits: scheme?.bits ?? null,
      weights: scheme === undefined ? 0 : Math.floor((planned.bytes * 8) / scheme.bitsPerWeight),
      bytes: planned.bytes,
      klNats: planned.klNats,
      decidedBy: planned.decidedBy,
      up: planned.up,
      locked: planned.decidedBy.kind === 'lock',
    };
  });
}

/** Roles in the order that data flows through a model. */
export const roleOrder: readonly TensorRole[] = [
  'embedding',
  'time-embedding',
  'conv',
  'attention-qkv',
  'attention-q',
  'attention-k',
  'attention-v',
  'attention-output',
  'ssm',
  'mlp-gate',
  'mlp-up',
  'mlp-down',
  'router',
  'expert-gate',
  'expert-up',
  'expert-down',
  'other',
  'norm',
  'output-head',
];
