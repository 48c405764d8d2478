/** @file The models that presets and plans are compared on, with as much text as each affords, and what plans have to reach. */
import type { PresetName } from '@bitsmith/core';

/** Other ways to plan: see `planners.ts`. */
export const plannerNames = ['k-quants', 'rules', 'activation', 'one-at-a-time', 'row-normalised'] as const;
export type PlannerName = (typeof plannerNames)[number];

export interface PresetCase {
  readonly name: PresetName;
  /** Mean KL of the plan over the preset's, at most; null where it is only shown. */
  readonly most: number | null;
}

const judged: readonly PresetCase[] = [
  { name: 'Q4_K_M', most: 0.82 },
  { name: 'Q3_K_M', most: 0.75 },
  { name: 'Q2_K', most: 0.55 },
  { name: 'IQ2_XS', most: 0.82 },
];
const shown: readonly PresetCase[] = (['Q6_K', 'Q5_K_M', 'IQ4_XS', 'Q3_K_S', 'IQ3_XXS'] as const).map(
  (name) => ({ name, most: null }),
);

export interface ModelCase {
  readonly name: string;
  readonly presets: readonly PresetCase[];
  readonly contextTokens: number;
  /** Of the importance matrix. */
  readonly calibrationTokens: number;
  /** Of the report text that files are compared on; Infinity: all of it. */
  readonly reportTokens: number;
  /** The same where a preset is only shown. */
  readonly shownTokens: number;
  /** Of the report text that plans are compared on in the live model, spread over it. */
  readonly liveTokens: number;
  /** Of the search text: single tensors put in schemes one at a time. */
  readonly singleTokens: number;
  /** Of the search text: the plan beside the best preset of its size, inside the job. */
  readonly floorTokens: number;
  /** Of the search text: what a search's plans may run over; null: what a search takes unless told. */
  readonly searchTokens: number | null;
  /** Other ways to plan that are shown unless told otherwise. */
  readonly planners: readonly PlannerName[];
}

/** Some minutes on two cores. */
export const bundledCase: ModelCase = {
  name: 'bundled',
  presets: [...judged, ...shown],
  contextTokens: 256,
  calibrationTokens: 32_768,
  reportTokens: Infinity,
  shownTokens: 16_384,
  liveTokens: 16_384,
  singleTokens: 2048,
  floorTokens: 4096,
  searchTokens: null,
  planners: plannerNames,
};

/** Encoders are what takes time here; true losses of all tensors, one at a time, would take longest, so `--also` asks for them. */
export const smollm2Case: ModelCase = {
  name: 'SmolLM2',
  presets: judged,
  contextTokens: 128,
  calibrationTokens: 8192,
  reportTokens: 2048,
  shownTokens: 2048,
  liveTokens: 1024,
  singleTokens: 512,
  floorTokens: 512,
  searchTokens: 24_576,
  planners: plannerNames.filter((name) => name !== 'one-at-a-time'),
};
