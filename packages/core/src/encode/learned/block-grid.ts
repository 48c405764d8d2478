/** @file The levels of ggml's linear blocks: scales and minimums are half floats of a block, or integer codes times them. */
import {
  type BlockFormat,
  blockFormat,
  type OpenSpan,
  openSpan,
  tensorByteLength,
  type TensorType,
} from '@bitsmith/formats';
import { codeNear } from '../feedback/code-near.js';
import { nearestHalf } from '../feedback/half-float.js';
import { LevelGrid, type StoredParts } from './level-grid.js';

/** The format of a type whose levels are equally spaced; null for others. */
export function linearFormat(type: TensorType): BlockFormat | null {
  const format = blockFormat(type);
  if (format === null) return null;
  const { levels } = format;
  return levels.every((level, code) => level === levels[0] + code) ? format : null;
}

export class BlockGrid extends LevelGrid {
  private readonly type: TensorType;
  private readonly format: BlockFormat;
  private readonly span: OpenSpan;

  constructor(type: TensorType, format: BlockFormat, bytes: Uint8Array, rows: number, rowLength: number) {
    const span = opened(format, bytes, rows * rowLength);
    const { groupSize, levels, minimumSign } = format;
    const offset =
      minimumSign === 0 ? ({ kind: 'centred', zero: -levels[0] } as const) : ({ kind: 'minimum' } as const);
    const perBlock = format.blockSize / groupSize;
    const groups = span.scaleCodes.length;
    const scales = Float64Array.from(
      { length: groups },
      (_, group) => span.scales[Math.floor(group / perBlock)] * span.scaleCodes[group],
    );
    const offsets = scales.map((scale, group) =>
      minimumSign === 0
        ? levels[0] * scale
        : minimumSign * span.minimums[Math.floor(group / perBlock)] * span.minimumCodes[group],
    );
    super({ rows, rowLength, groupSize, top: levels.length - 1, offset }, span.codes, scales, offsets);
    this.type = type;
    this.format = format;
    this.span = span;
  }

  parts(): StoredParts {
    const { format, span, type, rows, rowLength } = this;
    this.closeGroups();
    const bytes = new Uint8Array(tensorByteLength(type, [rowLength, rows]));
    for (let block = 0; block < span.scales.length; block++)
      format.close(span, block, bytes, block * format.blockBytes);
    return { data: bytes };
  }

  protected scaleNear(group: number, wish: number): number {
    const { scaleCodes } = this.format;
    if (scaleCodes === null) return nearestHalf(wish);
    const unit = this.span.scales[this.blockOf(group)];
    return unit * codeNear(wish, unit, scaleCodes);
  }

  protected offsetNear(group: number, wish: number): number {
    const { minimumCodes, minimumSign } = this.format;
    if (minimumCodes === null) return nearestHalf(wish);
    const unit = minimumSign * this.span.minimums[this.blockOf(group)];
    return unit * codeNear(wish, unit, minimumCodes);
  }

  /** What stands becomes what is stored of groups and blocks. */
  private closeGroups(): void {
    const { format, span, scales, offsets } = this;
    const { scaleCodes, minimumCodes, minimumSign } = format;
    for (let group = 0; group < scales.length; group++) {
      const block = this.blockOf(group);
      if (scaleCodes === null) span.scales[block] = scales[group];
      else span.scaleCodes[group] = codeNear(scales[group], span.scales[block], scaleCodes);
      if (minimumSign === 0) continue;
      const minimum = minimumSign * offsets[group];
      if (minimumCodes === null) span.minimums[block] = minimum;
      else span.minimumCodes[group] = codeNear(minimum, span.minimums[block], minimumCodes);
    }
  }

  private blockOf(group: number): number {
    return Math.floor((group * this.format.groupSize) / this.format.blockSize);
  }
}

function opened(format: BlockFormat, bytes: Uint8Array, weights: number): OpenSpan {
  const span = openSpan(format, weights);
  for (let block = 0; block < span.scales.length; block++)
    format.open(bytes, block * format.blockBytes, span, block);
  return span;
}
