/** @file Which schemes a plan may use, as a person lists them: by name, by family, or by the bits of affine codes. */
import { didYouMean } from './nearest-names.js';
import { planError } from './plan-error.js';
import { type CatalogueScheme, ggufSchemes, nearestSchemes, schemeNames, schemes } from './schemes.js';

const families: ReadonlyMap<string, (scheme: CatalogueScheme) => boolean> = new Map([
  ['gguf', ({ family }) => family === 'ggml' || family === 'float'],
  ['ggml', ({ family }) => family === 'ggml'],
  ['k-quants', ({ id }) => /^Q\d_K$/.test(id)],
  ['i-quants', ({ id }) => id.startsWith('IQ')],
  ['float', ({ family }) => family === 'float'],
  ['affine', ({ family }) => family === 'affine'],
  ...[2, 3, 4, 5, 6, 8].map(
    (bits) =>
      [
        `affine${bits}`,
        (scheme: CatalogueScheme) => scheme.family === 'affine' && scheme.bits === bits,
      ] as const,
  ),
]);

/**
 * The schemes that are meant, in the order of the catalogue.
 * @param names schemes (`Q4_K`, `affine4-g64`, `int8`) and families (`k-quants`, `affine`, `affine4` for all its groups, ...), in
 *   any case of letters; undefined: all that GGUF can hold
 * @throws BitsmithError `SCHEME_UNKNOWN` with the nearest names
 */
export function parseSchemes(names: readonly string[] | undefined): readonly CatalogueScheme[] {
  if (names === undefined) return ggufSchemes;
  const meant = names.map((name) => meaningOf(name.trim()));
  if (meant.length === 0) throw unknown('nothing');
  return schemes.filter((scheme) => meant.some((includes) => includes(scheme)));
}

function meaningOf(name: string): (scheme: CatalogueScheme) => boolean {
  const named = schemes.find(({ id }) => id.toUpperCase() === name.toUpperCase());
  if (named !== undefined) return (scheme) => scheme === named;
  const family = families.get(name.toLowerCase());
  if (family === undefined) throw unknown(JSON.stringify(name), name);
  return family;
}

function unknown(found: string, name = ''): Error {
  const meant = didYouMean(nearestSchemes(name, [...families.keys(), ...schemes.map(({ id }) => id)]));
  const listed = `${[...families.keys()].join(', ')}; ${schemeNames}`;
  return planError('SCHEME_UNKNOWN', `--schemes: expected schemes or families of them, found ${found}`, {
    expected: `some of ${listed}`,
    found,
    suggestion: `${meant}bitsmith plan --help names the families.`,
  });
}
