/**
 * @file The catalogue of schemes: every way in which a weight can be stored, in a GGUF file or, for the affine ones
 * (`affine-schemes.ts`), elsewhere. Geometry of GGUF's types comes from the format's own table; what stands here is what that
 * table does not say (families, codes, groups, who needs importance).
 *
 * A type belongs to the catalogue when ggml can encode it (`ggml_quantize_chunk`) and compute with it on every machine
 * (a `vec_dot` for matrix products and `get_rows` for embeddings on the CPU). Checked against ggml of llama.cpp v0.4.0:
 * left out are Q8_1 and Q8_K, which exist only for activations inside a product and have no encoder, and the integer types
 * and F64, which no product takes. TQ1_0, TQ2_0, Q2_0 and Q1_0 suit models that were trained with ternary or
 * binary weights; on others their price rules them out, so they need no rule of their own. Q2_0 and Q1_0 also serve rows
 * that 256 does not divide.
 */
import { bitsPerWeight, tensorTypes } from '@bitsmith/formats';
import type { TensorType } from '@bitsmith/formats';
import { type AffineSchemeId, affineSchemes } from './affine-schemes.js';
import { nearestNames } from './nearest-names.js';
import type { Scheme, SchemeFamily } from './types.js';

interface SchemeFacts {
  readonly bits: number;
  readonly groupSize: number;
  readonly symmetry: Scheme['symmetry'];
}

const symmetric = (bits: number, groupSize: number): SchemeFacts => ({
  bits,
  groupSize,
  symmetry: 'symmetric',
});
const asymmetric = (bits: number, groupSize: number): SchemeFacts => ({
  bits,
  groupSize,
  symmetry: 'asymmetric',
});

/** Asymmetric: a stored minimum or a choice of offset shifts the codes. Ternary codes packed five a byte have 1.6 bits. */
const facts = {
  IQ1_S: asymmetric(1, 32),
  IQ1_M: asymmetric(1, 16),
  Q1_0: symmetric(1, 128),
  TQ1_0: symmetric(1.6, 256),
  TQ2_0: symmetric(2, 256),
  Q2_0: symmetric(2, 64),
  IQ2_XXS: symmetric(2, 32),
  IQ2_XS: symmetric(2, 16),
  IQ2_S: symmetric(2, 16),
  Q2_K: asymmetric(2, 16),
  IQ3_XXS: symmetric(3, 32),
  IQ3_S: symmetric(3, 32),
  Q3_K: symmetric(3, 16),
  IQ4_XS: symmetric(4, 32),
  IQ4_NL: symmetric(4, 32),
  MXFP4: symmetric(4, 32),
  NVFP4: symmetric(4, 16),
  Q4_0: symmetric(4, 32),
  Q4_1: asymmetric(4, 32),
  Q4_K: asymmetric(4, 32),
  Q5_0: symmetric(5, 32),
  Q5_1: asymmetric(5, 32),
  Q5_K: asymmetric(5, 32),
  Q6_K: symmetric(6, 16),
  Q8_0: symmetric(8, 32),
  BF16: symmetric(16, 1),
  F16: symmetric(16, 1),
  F32: symmetric(32, 1),
} as const satisfies Partial<Record<TensorType, SchemeFacts>>;

/** Schemes whose names are GGUF tensor types. */
export type GgufSchemeId = keyof typeof facts;

/** Names of the schemes in the catalogue. */
export type SchemeId = GgufSchemeId | AffineSchemeId;

/** A scheme of the catalogue. */
export type CatalogueScheme = Scheme & { readonly id: SchemeId };

/** How a tensor is or may be stored: a scheme, or a type outside the catalogue that a source has it in. */
export type StorageType = SchemeId | TensorType;

/** `ggml_quantize_requires_imatrix`: without importance weights these encoders abort. */
const needImportance: ReadonlySet<string> = new Set<GgufSchemeId>(['IQ2_XXS', 'IQ2_XS', 'IQ1_S']);
const floats: ReadonlySet<string> = new Set<GgufSchemeId>(['F16', 'BF16', 'F32']);

/** Types that exist in GGUF files but whose weights no plan can produce or change: there is no way back to numbers. */
const notDecodable: ReadonlySet<TensorType> = new Set([
  'I8',
  'I16',
  'I32',
  'I64',
  'F64',
  'Q8_1',
  'Q8_K',
] as const);

function makeScheme(id: GgufSchemeId): Scheme & { readonly id: GgufSchemeId } {
  const family: SchemeFamily = floats.has(id) ? 'float' : 'ggml';
  return {
    id,
    family,
    ...facts[id],
    bitsPerWeight: bitsPerWeight(id),
    rowMultiple: tensorTypes[id].blockSize,
    needsImportance: needImportance.has(id),
  };
}

/** Every scheme that a GGUF file can hold, cheapest first: what plans choose from unless told otherwise. */
export const ggufSchemes: readonly (Scheme & { readonly id: GgufSchemeId })[] = (
  Object.keys(facts) as GgufSchemeId[]
)
  .map(makeScheme)
  .toSorted((a, b) => a.bitsPerWeight - b.bitsPerWeight);

/** Every scheme: those of GGUF, then the affine ones. */
export const schemes: readonly CatalogueScheme[] = [...ggufSchemes, ...affineSchemes];

const byUpperCaseId: ReadonlyMap<string, CatalogueScheme> = new Map(
  schemes.map((scheme) => [scheme.id.toUpperCase(), scheme]),
);

/** The scheme of this name, in any case of letters; `undefined` when the catalogue has none. */
export function findScheme(name: string): CatalogueScheme | undefined {
  return byUpperCaseId.get(name.toUpperCase());
}

/** True when the scheme can store rows of this many weights. */
export function isLegalForRows(scheme: Scheme, rowLength: number): boolean {
  return rowLength > 0 && rowLength % scheme.rowMultiple === 0;
}

/** Those of `among` that can store rows of this many weights, in their order. The floats always can. */
export function legalSchemes<Each extends CatalogueScheme>(
  rowLength: number,
  among: readonly Each[],
): readonly Each[] {
  return among.filter((scheme) => isLegalForRows(scheme, rowLength));
}

/** True when the engine can turn stored data of this type back into numbers. */
export function isDecodable(type: TensorType): boolean {
  return !notDecodable.has(type);
}

/** Bits of a weight in long rows. */
export function bitsOf(type: StorageType): number {
  return findScheme(type)?.bitsPerWeight ?? bitsPerWeight(type as TensorType);
}

/** The names that come nearest to what was typed, for a suggestion; at most three. */
export function nearestSchemes(
  typed: string,
  among: readonly string[] = schemes.map(({ id }) => id),
): readonly string[] {
  return nearestNames(typed, among);
}

/** The names of the catalogue, in few words. */
export const schemeNames: string = [
  ...ggufSchemes.map(({ id }) => id),
  'affineB-gN (codes of B = 2, 3, 4, 5, 6 or 8 bits in groups of N = 16, 32, 64, 128 or 256), affineB-row',
  'int8',
].join(', ');
