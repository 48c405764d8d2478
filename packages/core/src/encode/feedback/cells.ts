/**
 * @file A span while it is being solved: codes, and by group the numbers that turn codes into weights, w = (level - zero) scale +
 * offset. ggml's blocks and affine groups become one thing here; only what each of them can store differs.
 */

/** Arrays are as long as the span has weights, or groups. */
export abstract class Cells {
  readonly size: number;
  readonly groupSize: number;
  /** Of every code, ascending. */
  readonly levels: Float64Array;
  readonly codes: Uint8Array;
  readonly scale: Float64Array;
  readonly offset: Float64Array;
  readonly zero: Float64Array;

  protected constructor(size: number, groupSize: number, levels: Float64Array, codes: Uint8Array) {
    const groups = Math.ceil(size / groupSize);
    this.size = size;
    this.groupSize = groupSize;
    this.levels = levels;
    this.codes = codes;
    this.scale = new Float64Array(groups);
    this.offset = new Float64Array(groups);
    this.zero = new Float64Array(groups);
  }

  /** The storable scale of a group nearest to the wish. */
  abstract scaleNear(group: number, wish: number): number;

  /** True where groups have offsets of their own. */
  abstract readonly hasOffset: boolean;
  abstract offsetNear(group: number, wish: number): number;

  /** Zero points are integers from 0 to this; null where they are fixed. */
  abstract readonly mostZero: number | null;

  /** Numbers that all groups share and are multiples of, beside codes of their own: blocks that have them are whole spans. */
  abstract readonly shared: readonly SharedNumber[];
}

/** A number of all groups: `value` times integer codes of its groups is `of` them. */
export interface SharedNumber {
  readonly of: 'scale' | 'offset';
  get(): number;
  /** The storable number nearest to the wish. */
  near(wish: number): number;
  /** Takes a storable number; the groups' codes stay, so that what they are codes of changes. */
  set(value: number): void;
}
