/** @file The models that encoders are compared on, with as much text as each affords, and what plans with better codes have to reach. */
import { bundledCase, type ModelCase, type PresetCase, smollm2Case } from '../quality/cases.js';

/** A plan of this size, in every kind of code. */
export interface SizeCase {
  readonly bitsPerWeight: number;
  /** Mean KL with feedback and refit over that of the nearest codes, at most. */
  readonly most: number;
  /** Whether rounding is learned as well. */
  readonly learned: boolean;
}

export interface EncoderCase extends ModelCase {
  readonly sizes: readonly SizeCase[];
  /** Sequences that rounding is learned from and judged by. */
  readonly learnedSamples: number;
  /** Of the report text: perplexities in 8 bits. */
  readonly activationTokens: number;
}

/** Ours with every encoder over the preset's file. */
const presets: readonly PresetCase[] = [
  { name: 'Q5_K_M', most: 0.6 },
  { name: 'Q4_K_M', most: 0.52 },
  { name: 'Q3_K_M', most: 0.5 },
  { name: 'Q2_K', most: 0.42 },
  { name: 'IQ2_XS', most: 0.8 },
];

/** K-quants begin at 2.625 bits, and norms stay as they are: nothing smaller leaves a plan anything to choose. */
export const bundledEncoders: EncoderCase = {
  ...bundledCase,
  presets,
  sizes: [
    { bitsPerWeight: 4.5, most: 0.6, learned: true },
    { bitsPerWeight: 3.5, most: 0.65, learned: true },
    { bitsPerWeight: 2.75, most: 0.8, learned: true },
  ],
  learnedSamples: 128,
  activationTokens: 20_480,
};

/**
 * A sixteenth of its weights lie in rows of 576, which hold no K-quants, so plans begin at 2.74 bits. Statistics want more text
 * than an importance matrix does, so it gets as much as a user's own run.
 */
export const smollm2Encoders: EncoderCase = {
  ...smollm2Case,
  presets,
  calibrationTokens: 32_768,
  liveTokens: 4096,
  sizes: [
    { bitsPerWeight: 4.5, most: 0.6, learned: false },
    { bitsPerWeight: 3.5, most: 0.65, learned: true },
    { bitsPerWeight: 2.85, most: 0.8, learned: false },
  ],
  learnedSamples: 64,
  activationTokens: 4096,
};
