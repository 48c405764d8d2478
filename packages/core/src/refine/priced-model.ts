/** @file What plans are made of and refined on: a model whose tensors have prices, and the text that true losses are measured on. */
import type { Calibration } from '../calibrate/calibrate.js';
import type { SourceModel } from '../model/types.js';
import type { CouplingGroup } from '../plan/coupling.js';
import type { TensorOptions } from '../plan/options.js';
import type { Choice } from '../plan/types.js';
import type { TokenizedText } from '../text/tokenize.js';

export interface PricedModel {
  readonly model: SourceModel;
  readonly calibration: Calibration;
  /** The search text, whole: as much is taken as is needed, spread over it. */
  readonly search: TokenizedText;
  /** Has the options of the choices. */
  readonly storage: readonly TensorOptions[];
  readonly choices: readonly Choice[];
  readonly groups: readonly CouplingGroup[];
  readonly headerBytes: number;
}
