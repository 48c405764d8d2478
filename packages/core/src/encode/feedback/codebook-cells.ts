/** @file A span of a type with a grid while it is being solved: a super-block, and the numbers that its weights are multiples of. */
import { type GridBlock, gridBlock, type GridFormat, mostScaleCode } from '@bitsmith/formats';
import type { Codebook } from './codebook.js';
import { codeNear } from './code-near.js';

const scaleCodes = { least: 0, most: mostScaleCode };

export class CodebookCells {
  readonly format: GridFormat;
  readonly codebook: Codebook;
  readonly block: GridBlock;

  constructor(format: GridFormat, codebook: Codebook) {
    this.format = format;
    this.codebook = codebook;
    this.block = gridBlock(format);
  }

  open(bytes: Uint8Array, at: number): void {
    this.format.open(bytes, at, this.block);
  }

  close(bytes: Uint8Array, at: number): void {
    this.format.close(this.block, bytes, at);
  }

  /** What magnitudes of a group are multiplied with, by its code. */
  scaleOf(code: number): number {
    return this.block.scale * (2 * code + 1);
  }

  /** The code of the scale nearest to the wish. */
  codeNear(wish: number): number {
    return codeNear((wish / this.block.scale - 1) / 2, 1, scaleCodes);
  }

  /** The weights, exact in floats. */
  decode(values: Float32Array): void {
    const { block, codebook, format } = this;
    const { dimensions, groupSize } = format;
    for (let point = 0; point < block.points.length; point++) {
      const first = point * dimensions;
      const scale = this.scaleOf(block.scaleCodes[Math.floor(first / groupSize)]);
      const signs = block.signs[first >> 3] >> (first & 7);
      const at = block.points[point] * dimensions;
      for (let k = 0; k < dimensions; k++) {
        const value = scale * codebook.values[at + k];
        values[first + k] = (signs >> k) & 1 ? -value : value;
      }
    }
  }
}
