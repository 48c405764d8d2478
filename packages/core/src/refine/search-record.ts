/** @file What a search leaves in a run's record: what it tried, what that took, and how its plan stands against the solver's. */
import type { PairedDifference } from './paired.js';
import type { EvolveSettings } from './evolve/options.js';
import type { PathStep } from './gradual/descent.js';
import type { GradualSettings } from './gradual/options.js';
import type { MemoryAnalysis, QuantizationReport } from './gradual/reports.js';

/** A true loss, in nats per token. */
export interface PlanLoss {
  readonly klNats: number;
  /** Over the sequences. */
  readonly standardError: number;
}

/** A plan that was there before the search began. */
export interface SeedLoss extends PlanLoss {
  /** `solver`, or the preset's name. */
  readonly name: string;
}

/** The last comparison: what the search found against the best of what there was. */
export interface SearchVerdict {
  /** `search` where the plan found is taken, else the name of the seed that is. */
  readonly taken: string;
  /** Tokens of the text of this comparison. */
  readonly tokens: number;
  /** False where the text was too short to spare chunks that no plan was selected on. */
  readonly fresh: boolean;
  /** Of the plans that the search must not fall behind; those that were clearly worse before are not among them. */
  readonly seeds: readonly SeedLoss[];
  /** Of the plan found; null where the search found nothing that looked better. */
  readonly found: PlanLoss | null;
  /** The plan found less the best seed, sequence by sequence; null where nothing was found. */
  readonly difference: PairedDifference | null;
  /** Where a limit of loss is the budget: the smallest plan that holds it is taken. Null where the least loss is wanted. */
  readonly limit: LimitVerdict | null;
}

/** A limit of loss, and what holds it. Bytes are of all tensors; the file's header is not among them. */
export interface LimitVerdict {
  /** On the text of the comparison, in nats per token. */
  readonly allowedNats: number;
  readonly solverBytes: number;
  /** Of the plan found; null where none was. */
  readonly foundBytes: number | null;
}

/** One generation; losses are estimates in nats per token on the text of the selection. */
export interface Generation {
  readonly generation: number;
  readonly best: number;
  readonly mean: number;
  readonly worst: number;
  /** Different plans measured so far. */
  readonly evaluations: number;
  /** Tokens that plans ran over so far. */
  readonly tokens: number;
}

export interface EvolveRecord {
  readonly search: 'evolve';
  readonly settings: EvolveSettings;
  readonly seed: number;
  /** Tokens that plans have been measured on when they have passed each level of the selection. */
  readonly levelTokens: readonly number[];
  readonly history: readonly Generation[];
  readonly verdict: SearchVerdict;
  /** How far prices of tensors turned out to be off, as a share. */
  readonly priceError: number;
  readonly evaluations: number;
  /** Tokens that plans ran over, as if nothing had been in the store. */
  readonly tokens: number;
}

export interface GradualRecord {
  readonly search: 'gradual';
  readonly settings: GradualSettings;
  /** Tokens that every step is measured on. */
  readonly stepTokens: number;
  /** Every step of the search, whatever plan is taken in the end. */
  readonly path: readonly PathStep[];
  /** Of the plan that is taken. */
  readonly quantizationReport: QuantizationReport;
  /** Of the plan that is taken. */
  readonly memoryAnalysis: MemoryAnalysis;
  readonly verdict: SearchVerdict;
  readonly evaluations: number;
  /** Tokens that plans ran over, as if nothing had been in the store. */
  readonly tokens: number;
}

export type SearchRecord = EvolveRecord | GradualRecord;
