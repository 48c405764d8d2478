/** @file Sums of a metric over groups of columns: what moving all weights of a group alike costs, and how it pulls at every weight. */
import type { SpanMetric } from './span-metric.js';

export interface GroupSums {
  /** [groups, size]: of every row of the metric, the columns of each group. */
  readonly rows: Float32Array;
  /** Of each group, its rows and columns. */
  readonly blocks: Float64Array;
}

export function groupSumsOf({ size, stride, matrix }: SpanMetric, groupSize: number): GroupSums {
  const groups = Math.ceil(size / groupSize);
  const rows = new Float32Array(groups * size);
  const blocks = new Float64Array(groups);
  for (let group = 0; group < groups; group++) {
    const [first, last] = [group * groupSize, Math.min(size, (group + 1) * groupSize)];
    for (let j = 0; j < size; j++) {
      let sum = 0;
      for (let k = first; k < last; k++) sum += matrix[j * stride + k];
      rows[group * size + j] = sum;
      if (j >= first && j < last) blocks[group] += sum;
    }
  }
  return { rows, blocks };
}
