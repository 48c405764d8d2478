/** @file What can be asked of a plan. */
import type { ProtectionOptions } from '../plan/protection.js';
import type { SearchOptions } from '../refine/search.js';
import type { FrameOptions } from './plan-frame.js';
import type { PricingOptions } from './pricing.js';
import type { WishOptions } from './wishes.js';

export interface PlanOptions
  extends FrameOptions, PricingOptions, WishOptions, SearchOptions, ProtectionOptions {
  /** A plan made earlier, perhaps edited: its schemes are taken as they are. */
  readonly planFile?: string;
  /**
   * Relative error of every tensor's weights, at most: the root of sum (w - w')^2 / sum w^2. What misses it in the written file gets
   * more bits, step by step, within the budget; a plan that is given grows as it needs.
   */
  readonly maxTensorError?: string | number;
  /** A preset of llama.cpp, by its name: `Q4_K_M`. Tensors get the types that llama-quantize would give them. */
  readonly preset?: string;
  /** Tokens that a plan and the best preset of its size are compared on, at most; default 4,096. */
  readonly floorTokens?: number;
  /** Tokens of the search text that plans for a limit of quality are measured on, at most; default 16,384. */
  readonly qualityTokens?: number;
}
