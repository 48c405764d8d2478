/**
 * @file Affine schemes: codes of b bits in groups of a row, `affine4-g64` or, with one group a row, `affine4-row`; and `int8`, codes
 * of 8 bits around zero with one float scale a row, as runtimes multiply them with activations of 8 bits. Scales are half floats
 * and zero points codes; GGUF has none of these types. Symmetric forms of fewer bits are left out: by the error of a model's own
 * weights they lose to asymmetric ones in groups of 64 and 256, where a zero point costs next to nothing, and are about as good in groups of 16.
 */
import { affineBitsPerWeight, type AffineSpec } from '@bitsmith/formats';
import type { Scheme } from './types.js';

const widths = [2, 3, 4, 5, 6, 8] as const;
const groupSizes = [16, 32, 64, 128, 256] as const;

type Width = (typeof widths)[number];
type Groups = `g${(typeof groupSizes)[number]}` | 'row';

/** Names of the schemes that GGUF cannot hold. */
export type AffineSchemeId = `affine${Width}-${Groups}` | 'int8';

/**
 * Part of the key of everything that is made with affine codes: what was made by another version is not taken for what this one
 * makes.
 */
export const AFFINE_VERSION = 1;

const specs: ReadonlyMap<string, AffineSpec> = new Map<AffineSchemeId, AffineSpec>([
  ...widths.flatMap((bits) => [
    ...groupSizes.map((size): [AffineSchemeId, AffineSpec] => [
      `affine${bits}-g${size}`,
      grouped(bits, size),
    ]),
    [`affine${bits}-row`, grouped(bits, 'row')] as [AffineSchemeId, AffineSpec],
  ]),
  ['int8', { bits: 8, groupSize: 'row', symmetry: 'symmetric', scaleType: 'F32' }],
]);

function grouped(bits: Width, groupSize: AffineSpec['groupSize']): AffineSpec {
  return { bits, groupSize, symmetry: 'asymmetric', scaleType: 'F16' };
}

/** How the codec stores a scheme; undefined for one that is not affine. */
export function affineSpec(scheme: string): AffineSpec | undefined {
  return specs.get(scheme);
}

export const affineSchemes: readonly (Scheme & { readonly id: AffineSchemeId })[] = [...specs].map(
  ([id, spec]) => ({
    id: id as AffineSchemeId,
    family: id === 'int8' ? 'int8' : 'affine',
    bits: spec.bits,
    groupSize: spec.groupSize,
    symmetry: spec.symmetry,
    bitsPerWeight: affineBitsPerWeight(spec),
    rowMultiple: 1,
    needsImportance: false,
  }),
);
