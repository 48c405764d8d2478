/** @file The form of an importance method: what it is given, and what it yields. */
import type { Calibration } from '../../calibrate/calibrate.js';
import type { SourceModel } from '../../model/types.js';
import type { RunContext } from '../../run/context.js';
import type { Work } from '../../run/events.js';
import type { TokenizedText } from '../../text/tokenize.js';
import type { Method, Score } from './score.js';
import type { Wanted } from '../wanted.js';

/** What every method is given; each takes what it needs. */
export interface MethodInput {
  readonly run: RunContext;
  readonly model: SourceModel;
  readonly calibration: Calibration;
  /** What losses are measured on: as many sequences as there are samples. */
  readonly text: TokenizedText;
  /** What gradients are taken on, whole: the search text, as for a plan. */
  readonly gradientText: TokenizedText;
  /** Sequences that were asked for; undefined where each method takes what it needs. */
  readonly samples: number | undefined;
  /** Bytes that taking gradients may take; without, the machine's memory. */
  readonly memoryBytes?: number;
  /** The tensors to score, with the schemes that each may be scored in. */
  readonly wanted: readonly Wanted[];
  /** True where the schemes were asked for by name: then every one is scored, whatever it costs. */
  readonly chosenSchemes: boolean;
}

export interface MethodEntry {
  /** What it measures, in a few words. */
  readonly brief: string;
  /** Where its numbers come from: the text of `MethodInput`, the importance matrix alone, or the weights alone. */
  readonly data: 'text' | 'gradient-text' | 'importance' | 'none';
  /** Whether its numbers depend on the seed. */
  readonly seeded: boolean;
  /** Whether it can score this model. */
  runsOn(model: SourceModel): boolean;
  scores(input: MethodInput): Work<Score[]>;
}

/** The scores of one method, with what they depend on. */
export interface ScoreSet {
  readonly method: Method;
  readonly scores: readonly Score[];
  /** SHA-256 of the text's tokens or of the importance matrix; null for what depends on the weights alone. */
  readonly textHash: string | null;
  /** Null for what does not depend on one. */
  readonly seed: number | null;
}

/** A method with the weight that was asked for; null where none was. */
export interface MethodChoice {
  readonly method: Method;
  readonly weight: number | null;
}
