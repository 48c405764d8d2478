/** @file The levels of an affine tensor. */
import { type AffineSpec, type AffineTensor, closeAffine, nearestScale, openAffine } from '@bitsmith/formats';
import { LevelGrid, type StoredParts } from './level-grid.js';

export class AffineGrid extends LevelGrid {
  private readonly spec: AffineSpec;

  constructor(tensor: AffineTensor) {
    const { spec, rows, rowLength } = tensor;
    const { codes, scales, zeros } = openAffine(tensor);
    const symmetric = spec.symmetry === 'symmetric';
    super(
      {
        rows,
        rowLength,
        groupSize: spec.groupSize === 'row' ? rowLength : spec.groupSize,
        top: (1 << spec.bits) - 1,
        offset: symmetric ? { kind: 'centred', zero: 1 << (spec.bits - 1) } : { kind: 'zero-point' },
      },
      codes,
      Float64Array.from(scales),
      Float64Array.from(scales, (scale, group) => -zeros[group] * scale),
    );
    this.spec = spec;
  }

  /** The tensor as it stands. */
  tensor(): AffineTensor {
    const { codes, scales, offsets, rows, rowLength } = this;
    const zeros = Uint8Array.from(scales, (scale, group) =>
      scale === 0 ? 0 : Math.round(-offsets[group] / scale),
    );
    return closeAffine({ codes, scales: Float32Array.from(scales), zeros }, this.spec, rows, rowLength);
  }

  parts(): StoredParts {
    const { data, scales, zeroPoints } = this.tensor();
    return { data, scales: new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength), zeroPoints };
  }

  protected scaleNear(_group: number, wish: number): number {
    return nearestScale(wish, this.spec.scaleType);
  }

  protected offsetNear(_group: number, wish: number): number {
    return wish;
  }
}
