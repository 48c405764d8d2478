/**
 * @file Spans of ggml's linear blocks. A block has a half float that its groups' scales are integer multiples of (and one for their
 * minimums), or is a single group, whose scale and minimum are half floats.
 */
import { type BlockFormat, openSpan, type OpenSpan } from '@bitsmith/formats';
import { Cells, type SharedNumber } from './cells.js';
import { codeNear } from './code-near.js';
import { nearestHalf } from './half-float.js';

export class BlockCells extends Cells {
  readonly hasOffset: boolean;
  readonly mostZero = null;
  readonly shared: readonly SharedNumber[];
  private readonly format: BlockFormat;
  private readonly span: OpenSpan;
  private readonly blocks: number;
  private readonly groupsPerBlock: number;

  /** @param size a whole number of blocks */
  constructor(format: BlockFormat, size: number) {
    const span = openSpan(format, size);
    super(size, format.groupSize, format.levels, span.codes);
    this.format = format;
    this.span = span;
    this.blocks = size / format.blockSize;
    this.groupsPerBlock = format.blockSize / format.groupSize;
    this.hasOffset = format.minimumSign !== 0;
    const all = Array.from({ length: this.blocks }, (_, block) => block);
    this.shared = [
      ...(format.scaleCodes === null ? [] : all.map((block) => this.sharedScale(block))),
      ...(format.minimumCodes === null ? [] : all.map((block) => this.sharedMinimum(block))),
    ];
  }

  open(bytes: Uint8Array, at: number): void {
    const { format, span } = this;
    const { minimumSign } = format;
    for (let block = 0; block < this.blocks; block++)
      format.open(bytes, at + block * format.blockBytes, span, block);
    for (let group = 0; group < this.scale.length; group++) {
      const block = this.blockOf(group);
      this.scale[group] = span.scales[block] * span.scaleCodes[group];
      this.offset[group] = minimumSign * span.minimums[block] * span.minimumCodes[group];
    }
  }

  close(bytes: Uint8Array, at: number): void {
    const { format, span } = this;
    for (let group = 0; group < this.scale.length; group++) {
      const block = this.blockOf(group);
      if (format.scaleCodes === null) span.scales[block] = this.scale[group];
      else span.scaleCodes[group] = this.scaleCode(group, this.scale[group]);
      if (format.minimumCodes !== null)
        span.minimumCodes[group] = this.minimumCode(group, this.offset[group]);
      else if (this.hasOffset) span.minimums[block] = this.offset[group];
    }
    for (let block = 0; block < this.blocks; block++)
      format.close(span, block, bytes, at + block * format.blockBytes);
  }

  scaleNear(group: number, wish: number): number {
    if (this.format.scaleCodes === null) return nearestHalf(wish);
    return this.span.scales[this.blockOf(group)] * this.scaleCode(group, wish);
  }

  offsetNear(group: number, wish: number): number {
    if (this.format.minimumCodes === null) return nearestHalf(wish);
    const { minimumSign } = this.format;
    return minimumSign * this.span.minimums[this.blockOf(group)] * this.minimumCode(group, wish);
  }

  private scaleCode(group: number, scale: number): number {
    return codeNear(scale, this.span.scales[this.blockOf(group)], this.format.scaleCodes);
  }

  private minimumCode(group: number, offset: number): number {
    const unit = this.format.minimumSign * this.span.minimums[this.blockOf(group)];
    return codeNear(offset, unit, this.format.minimumCodes);
  }

  private blockOf(group: number): number {
    return Math.floor(group / this.groupsPerBlock);
  }

  private sharedScale(block: number): SharedNumber {
    const { scales } = this.span;
    return this.sharedNumber('scale', block, scales, (group, value) => {
      this.scale[group] = this.scaleCode(group, this.scale[group]) * value;
    });
  }

  private sharedMinimum(block: number): SharedNumber {
    const { minimums } = this.span;
    return this.sharedNumber('offset', block, minimums, (group, value) => {
      this.offset[group] = this.format.minimumSign * this.minimumCode(group, this.offset[group]) * value;
    });
  }

  private sharedNumber(
    of: SharedNumber['of'],
    block: number,
    numbers: Float64Array,
    setGroup: (group: number, value: number) => void,
  ): SharedNumber {
    const { groupsPerBlock: groups } = this;
    const firstGroup = block * groups;
    return {
      of,
      get: () => numbers[block],
      near: nearestHalf,
      set: (value) => {
        for (let group = firstGroup; group < firstGroup + groups; group++) setGroup(group, value);
        numbers[block] = value;
      },
    };
  }
}
