/**
 * @file What passes between the command and its engine process. Requests carry paths, names and hashes, never weights:
 * the engine reads the source and writes artifacts itself.
 */
import type { SerializedError } from '@bitsmith/formats';
import type { CalibrateTask } from '../calibrate/task.js';
import type { EncodeTask } from '../encode/task.js';
import type { FiniteTask } from '../encode/finite-task.js';
import type { LearnedTask } from '../encode/learned/learned-task.js';
import type { VerifyTask } from '../encode/verify-task.js';
import type { CoherenceTask } from '../evaluate/coherence-task.js';
import type { InputRangesTask } from '../evaluate/int8/input-ranges-task.js';
import type { Int8Task } from '../evaluate/int8/int8-task.js';
import type { EvaluateTask } from '../evaluate/task.js';
import type { GradientTask } from '../measure/gradients/gradient-task.js';
import type { GramTask } from '../gram/gram-task.js';
import type { InnerProductsTask } from '../measure/whole-plans/inner-products-task.js';
import type { PriceTask } from '../measure/gradients/price-task.js';
import type { CosinesTask } from '../measure/errors/cosines-task.js';
import type { ErrorsTask } from '../measure/errors/errors-task.js';
import type { SpikesTask } from '../measure/super-weights/spikes-task.js';
import type { TopWeightsTask } from '../measure/super-weights/top-weights-task.js';
import type { TernaryTask } from '../measure/ternary/ternary-task.js';
import type { VariantsTask } from '../measure/live/variants-task.js';
import type { RecipesTask } from '../presets/recipes-task.js';
import type { MemoryTask } from '../model/memory-task.js';
import type { TokenizeTask } from '../text/task.js';
import type { EqualizeTask } from '../transform/equalize/equalize-task.js';
import type { FoldTask } from '../transform/equalize/fold-task.js';

/** Every kind of work an engine does. */
export interface EngineTasks {
  finite: FiniteTask;
  ternary: TernaryTask;
  tokenize: TokenizeTask;
  memory: MemoryTask;
  recipes: RecipesTask;
  calibrate: CalibrateTask;
  errors: ErrorsTask;
  cosines: CosinesTask;
  gradient: GradientTask;
  prices: PriceTask;
  grams: GramTask;
  'inner-products': InnerProductsTask;
  variants: VariantsTask;
  spikes: SpikesTask;
  'top-weights': TopWeightsTask;
  equalize: EqualizeTask;
  fold: FoldTask;
  encode: EncodeTask;
  learned: LearnedTask;
  verify: VerifyTask;
  evaluate: EvaluateTask;
  'input-ranges': InputRangesTask;
  int8: Int8Task;
  coherence: CoherenceTask;
}

export type TaskKind = keyof EngineTasks;

export interface EngineRequest<Kind extends TaskKind = TaskKind> {
  readonly id: number;
  readonly kind: Kind;
  readonly parameters: EngineTasks[Kind]['parameters'];
}

export type EngineReply =
  | { readonly id: number; readonly type: 'event'; readonly event: unknown }
  | { readonly id: number; readonly type: 'result'; readonly result: unknown }
  | { readonly id: number; readonly type: 'error'; readonly error: SerializedError };
