/**
 * @file Rows that a kernel has to encode as the engine does before it is used. The engine encodes them in the same process,
 * except for types whose tables it builds for seconds, which is what their kernels are there to avoid: for those the digest
 * of the engine's bytes (of x64) is kept here.
 */
import type { TensorType } from '@bitsmith/formats';
import { createHash } from 'node:crypto';

export const sampleRows = 32;
export const sampleRowLength = 512;

/** Values of many magnitudes and signs, some sub-blocks constant, some zero; exact in float32 on every machine. */
export function sampleValues(): Float32Array {
  let state = 1;
  const byte = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state >>> 24;
  };
  return Float32Array.from({ length: sampleRows * sampleRowLength }, (_, index) => {
    const block = Math.floor(index / 32);
    const bell = (byte() + byte() + byte() + byte() - 510) / 256;
    if (block % 16 === 0) return 0;
    if (block % 16 === 1) return -0.25;
    return (block % 16 === 2 ? -Math.abs(bell) : bell) * 2 ** -(block % 7);
  });
}

/** Importance of each column, exact in float32; some have none. */
export function sampleImportance(): Float32Array {
  return Float32Array.from({ length: sampleRowLength }, (_, index) => (index % 19) ** 2 / 16);
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64');
}

/** Of the sample's bytes under its importance, by type. */
export const knownDigests: Readonly<Partial<Record<TensorType, string>>> = {
  IQ1_S: 'EkNhEnzPFM5RqcLPA57CYfySo4DBDbQ+qGfk3evMb+Y=',
  IQ1_M: 'ACWHIcgTWyajKkdW+uhuP6RwHXCz35KgywjPvp41/Xw=',
  IQ2_XXS: 'qmkvquG2YkO5q6qCwvelFpHu+x4kq/0MpyoSe3g0LHM=',
  IQ2_XS: 'bSAYy6ia6173jLuMbWVbEr2XCVepfdP098m9dyZrOHo=',
  IQ2_S: '2YV6e+qz4qkJvWiUK3ULuTu6wBJhb5T4G7dTujBNEAA=',
  IQ3_XXS: 'rQcMl4hNgTuCDPadCpVRhn33lq2uTs6Qo46A0d3gxCI=',
  IQ3_S: '4fpgjonYe06+9Jv65+xOMM7bzKgQG1BJ56SqJB52Um8=',
};

/** The same without importance, where types have no need of it. */
export const knownDigestsWithoutImportance: Readonly<Partial<Record<TensorType, string>>> = {
  IQ1_M: 'h6QsmAMVzQXYudlANEdUO+likznFEbYtg06bm+0VOd0=',
  IQ2_S: 'YSoAmRkWYxoFuwye0I6YEJbSbg69W2ghzHNfqWcO63c=',
  IQ3_XXS: '7I63iuRvNArxiifIRTjfZrhjrsawA/pmHlDNa/2/kzM=',
  IQ3_S: '042SMzKCVGR/S5BUNk0HBqwsTaQqftEIENrnnkxuBVA=',
};
