/** @file Inputs of matrices to codes, by the kind of scales that was asked for. */
import { BitsmithError } from '@bitsmith/formats';
import { type ActivationScales, encodeActivations, scaleOf, tokenScales } from './activation-codes.js';

/** Codes and scales are filled for `values`, [columns x tokens]: the input of `tensor` and of what reads the same. */
export interface RoundInput {
  readonly tensor: string;
  readonly values: Float32Array;
  readonly scales: Float32Array;
  readonly codes: Float32Array;
}

export class ActivationRounder {
  private readonly kind: ActivationScales;
  private readonly fixed: Readonly<Record<string, number>>;

  /** @param fixed static scales by the first matrix that reads an input */
  constructor(kind: ActivationScales, fixed: Readonly<Record<string, number>>) {
    this.kind = kind;
    this.fixed = fixed;
  }

  round({ tensor, values, scales, codes }: RoundInput): void {
    const columns = values.length / scales.length;
    if (this.kind === 'token') tokenScales(values, columns, scales);
    else scales.fill(this.kind === 'tensor' ? scaleOf(values) : this.fixedScale(tensor));
    encodeActivations(values, columns, scales, codes);
  }

  private fixedScale(tensor: string): number {
    const scale = this.fixed[tensor];
    if (scale !== undefined) return scale;
    throw new BitsmithError(
      'analysis',
      'ACTIVATION_SCALE_MISSING',
      `expected a calibrated scale for the input of ${tensor}, found none`,
    );
  }
}
