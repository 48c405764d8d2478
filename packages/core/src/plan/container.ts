/** @file What containers can hold. Plans may be made of any schemes; a file may not. */
import { BitsmithError, isTensorType, type TensorType } from '@bitsmith/formats';
import { affineSpec } from './affine-schemes.js';
import type { TensorOptions } from './options.js';
import { planError } from './plan-error.js';
import type { CatalogueScheme, StorageType } from './schemes.js';

/** Something that asks for a scheme, and where. */
export interface SchemeDemand {
  readonly scheme: string;
  /** In the words of a message: `--schemes`, `lock 'attn_v=int8'`. */
  readonly where: string;
}

/**
 * Refuses schemes that a GGUF file has no type for.
 * @throws BitsmithError `SCHEME_NOT_IN_GGUF`
 */
export function refuseNotGguf(demands: readonly SchemeDemand[]): void {
  const first = demands.find(({ scheme }) => affineSpec(scheme.toLowerCase()) !== undefined);
  if (first === undefined) return;
  throw new BitsmithError(
    'unsupported',
    'SCHEME_NOT_IN_GGUF',
    `${first.where}: a GGUF file cannot hold ${first.scheme}`,
    {
      expected:
        "llama.cpp's types: --schemes gguf (all, the default), k-quants, i-quants, float, or names as Q4_K",
      found: first.scheme,
      suggestion:
        'Leave affine schemes and int8 out to write a GGUF; bitsmith plan can still plan with them.',
    },
  );
}

/** The types of a plan's tensors, in their order. @throws BitsmithError `SCHEME_NOT_IN_GGUF` */
export function ggufTypes(schemes: readonly StorageType[]): readonly TensorType[] {
  refuseNotGguf(schemes.map((scheme) => ({ scheme, where: 'the plan' })));
  return schemes.filter((scheme) => isTensorType(scheme));
}

/**
 * Refuses a list of schemes that leaves every tensor as it is stored.
 * @throws BitsmithError `SCHEMES_NONE_LEGAL`
 */
export function refuseNoneLegal(
  storage: readonly TensorOptions[],
  among: readonly CatalogueScheme[],
  asked: readonly string[],
): void {
  const allowed = new Set<string>(among.map(({ id }) => id));
  const useful = storage.some(({ tensor, options }) =>
    options.some(({ scheme }) => scheme !== tensor.type && allowed.has(scheme)),
  );
  if (useful) return;
  throw planError(
    'SCHEMES_NONE_LEGAL',
    `expected schemes that make some tensor of the model smaller, found ${asked.join(', ')}`,
    { suggestion: 'Leave out --schemes, or name schemes with fewer bits than the source.' },
  );
}
