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
  /** A preset of llama.cpp, by its name: `Q4_K_M`. Tensors get the types that llama-quantize would give them. */
  readonly preset?: string;
  /** Tokens that a plan and the best preset of its size are compared on, at most; default 4,096. */
  readonly floorTokens?: number;
  /** Tokens of the search text that plans for a limit of quality are measured on, at most; default 16,384. */
  readonly qualityTokens?: number;
}
