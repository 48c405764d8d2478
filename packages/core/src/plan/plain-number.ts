/** @file Numbers as people write them after a flag, and what is said of those that are none. */
import { BitsmithError } from '@bitsmith/formats';

/** Digits with a point, without a sign; an exponent only where it is asked for. NaN for anything else. */
export function plainNumber(value: string | number, exponents?: 'exponents, too'): number {
  const text = String(value).trim();
  const form = exponents === undefined ? /^(\d+(?:\.\d*)?|\.\d+)$/ : /^(\d+(?:\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;
  return form.test(text) ? Number(text) : Number.NaN;
}

/** A flag's value that is not of its form. */
export function misshapen(
  code: string,
  flag: string,
  found: string | number,
  expected: string,
): BitsmithError {
  return new BitsmithError('arguments', code, `${flag} ${found}: expected ${expected}`, {
    expected,
    found: String(found),
    suggestion: `Write ${flag} as ${expected}.`,
  });
}
