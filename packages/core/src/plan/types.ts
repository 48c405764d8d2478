/** @file A plan: tensor -> scheme, with the reason, the exact bytes and the predicted loss. */
import type { ContextMemory } from './memory/context-memory.js';
import type { QualityFit } from './quality.js';
import type { Evidence, Measured } from '../evaluate/types.js';

export type SchemeFamily = 'ggml' | 'float' | 'affine' | 'int8';

/** One way to store a tensor. */
export interface Scheme {
  /** ggml's own type name (Q4_K, IQ3_S, BF16, ...), `affine4-g64`, `affine4-row`, ..., or `int8`. */
  readonly id: string;
  readonly family: SchemeFamily;
  /** Nominal bits of a code. */
  readonly bits: number;
  /** Weights that share the smallest scale; 1 for floats. */
  readonly groupSize: number | 'row';
  readonly symmetry: 'symmetric' | 'asymmetric';
  /** Exact stored bits per weight, scales included; of groups of a whole row without the scales, which depend on its length. */
  readonly bitsPerWeight: number;
  /** Row lengths must be a multiple of this. */
  readonly rowMultiple: number;
  /** True when the encoder refuses to work without importance weights. */
  readonly needsImportance: boolean;
}

/** What one scheme would cost one tensor. */
export interface Candidate {
  readonly scheme: string;
  /** Exact bytes in the file, alignment padding included. */
  readonly bytes: number;
  /** Predicted loss in nats per token. */
  readonly klNats: number;
}

/** A tensor with everything the solver may choose from. Locked and unquantizable tensors have one candidate. */
export interface Choice {
  readonly tensor: string;
  readonly candidates: readonly Candidate[];
  /** True for an output head of its own: its error reaches the output as it is. */
  readonly direct?: boolean;
  /** Why the list is what it is, when it is not free. */
  readonly constraint: {
    readonly kind: 'lock' | 'kept' | 'only-legal' | 'plan-file';
    readonly note: string;
  } | null;
  /** What took candidates out of the list and left others: prices still decide among those. */
  readonly limits?: readonly Limit[];
  /** What a locked tensor could be stored in were it free: its bytes, and its loss where that is known. */
  readonly beside?: readonly (Omit<Candidate, 'klNats'> & { readonly klNats: number | null })[];
}

/** Something that narrowed a tensor's candidates. `note` says what, in words. */
export interface Limit {
  readonly kind: 'floor' | 'coupling';
  readonly note: string;
}

/** What decided a tensor's scheme. */
export interface Decision {
  readonly kind:
    | NonNullable<Choice['constraint']>['kind']
    | Limit['kind']
    | 'price'
    | 'rule'
    | 'preset'
    | 'search'
    | 'fallback';
  /** In words, as `reason` begins. */
  readonly note: string;
}

/** Another scheme for a tensor, and what it would change. */
export interface PlanStep {
  readonly scheme: string;
  /** Bytes more than now; below zero for fewer. */
  readonly bytes: number;
  /** Predicted loss more than now, below zero for less; null where it was not priced. */
  readonly klNats: number | null;
}

export interface PlannedTensor {
  readonly tensor: string;
  readonly scheme: string;
  readonly bytes: number;
  /** Predicted loss; null when the scheme comes from a plan file and was never priced. */
  readonly klNats: number | null;
  readonly decidedBy: Decision;
  /** The nearest scheme that loses less: the fewest bytes more; null where none is known or allowed. */
  readonly up: PlanStep | null;
  /** The nearest smaller scheme: the least loss more; null where none is known or allowed. */
  readonly down: PlanStep | null;
  /** What decided it and what a step up or down would change, in words. */
  readonly reason: string;
}

/** A plan beside the best of llama.cpp's presets that fits the same bytes: true losses, measured on the same tokens. */
export interface PresetFloor {
  /** `llama-quantize`'s name for it. */
  readonly preset: string;
  readonly presetBytes: number;
  /** Loss of the preset and of the plan that was made, in nats per token; their errors are over the text's sequences. */
  readonly presetKlNats: Measured;
  readonly planKlNats: Measured;
  /** Loss of the plan less that of the preset, sequence by sequence, which cancels what is hard for both. Of one sequence no error is known. */
  readonly differenceNats: { readonly value: number; readonly standardError: number | null };
  /** What the user gets: the one that loses less. */
  readonly winner: 'plan' | 'preset';
  /** Tokens of the search text that both ran over. */
  readonly tokens: number;
  readonly evidence: 'measured';
}

export interface Plan {
  readonly version: 1;
  /** SHA-256 of the canonical plan: source hash and tensor -> scheme. */
  readonly hash: string;
  readonly source: { readonly name: string; readonly sha256: string };
  readonly budget: {
    readonly request: string;
    /** Of the whole file. */
    readonly bytes: number;
    /** What the context takes of the memory asked for; absent where none was. */
    readonly memory?: ContextMemory;
  };
  readonly tensors: readonly PlannedTensor[];
  readonly predicted: {
    /** Exact bytes of the file, header included. */
    readonly bytes: number;
    /** Sum over the tensors; null when one of them has no price. */
    readonly klNats: number | null;
    readonly evidence: Evidence;
    /** No plan within the budget can be priced below this; null when the plan was not solved for. */
    readonly klLowerBound: number | null;
    /** (klNats - klLowerBound) / klNats: 0 when no plan can be better; null when the plan was not solved for. */
    readonly gap: number | null;
  };
  /** How a limit of loss was met on the search text; absent where none was asked for. */
  readonly quality?: QualityFit;
  /** Null where no preset fits the budget, where nothing is lost, and for plans that were given. */
  readonly presetFloor: PresetFloor | null;
}
