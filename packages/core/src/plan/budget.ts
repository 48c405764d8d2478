/**
 * @file Budgets: what a user asks for, as the bytes that the file may have. Several at once: the tightest holds. Whether a
 * budget can be met is arithmetic, known before anything is measured.
 */
import { BitsmithError } from '@bitsmith/formats';
import { formatBytes } from './units.js';

/** One wish. `text` is how it was asked for. */
export type BudgetTerm =
  | { readonly kind: 'size'; readonly bytes: number; readonly text: string }
  | { readonly kind: 'bpw'; readonly bitsPerWeight: number; readonly text: string }
  | { readonly kind: 'ratio'; readonly ratio: number; readonly text: string };

/** The wishes as given: on the command line as text, from code as text or numbers. */
export interface BudgetOptions {
  /** `1.2GB`, `800MiB`, or bytes. */
  readonly size?: string | number;
  /** Stored bits of all tensors by the number of weights, as llama.cpp counts them. */
  readonly bpw?: string | number;
  /** Source bytes / written bytes. */
  readonly ratio?: string | number;
}

/** What a budget is measured against. */
export interface BudgetFacts {
  /** Bytes of the source's files. */
  readonly sourceBytes: number;
  readonly parameterCount: number;
  /** Bytes of the header to be written. */
  readonly headerBytes: number;
  /** Tensor data of the smallest and the largest plan, padding included. */
  readonly data: { readonly smallestBytes: number; readonly largestBytes: number };
}

export interface Budget {
  /** All wishes, in words. */
  readonly request: string;
  /** Bytes the whole file may have. */
  readonly bytes: number;
  /** Bytes all tensors may have, padding included. */
  readonly dataBytes: number;
  /** True when even the largest plan fits, so that nothing needs to be quantized. */
  readonly keepsEverything: boolean;
}

const SIZE_FORMS =
  'bytes (1200000), or a number with KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024)';
const MOST_BITS_PER_WEIGHT = 64;

const unitBytes: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['b', 1],
  ['bytes', 1],
  ...['k', 'm', 'g', 't'].flatMap((letter, power): [string, number][] => [
    [`${letter}b`, 1000 ** (power + 1)],
    [`${letter}ib`, 1024 ** (power + 1)],
  ]),
]);

/**
 * Reads the wishes.
 * @throws BitsmithError `BUDGET_MALFORMED` for a bad unit or number, `BUDGET_MISSING` when there is none.
 */
export function parseBudget(options: BudgetOptions): readonly BudgetTerm[] {
  const terms: BudgetTerm[] = [];
  if (options.size !== undefined) {
    terms.push({ kind: 'size', bytes: parseSize(options.size), text: `size ${options.size}` });
  }
  if (options.bpw !== undefined) {
    const form = `a number above 0 and up to ${MOST_BITS_PER_WEIGHT}, for example 3.5`;
    const bitsPerWeight = parsePlainNumber(
      '--bpw',
      options.bpw,
      form,
      (bits) => bits > 0 && bits <= MOST_BITS_PER_WEIGHT,
    );
    terms.push({ kind: 'bpw', bitsPerWeight, text: `${options.bpw} bits per weight` });
  }
  if (options.ratio !== undefined) {
    const form = 'a number of at least 1: 5 means five times smaller than the source';
    const ratio = parsePlainNumber('--ratio', options.ratio, form, (value) => value >= 1);
    terms.push({ kind: 'ratio', ratio, text: `ratio ${options.ratio}` });
  }
  if (terms.length > 0) return terms;
  throw new BitsmithError('arguments', 'BUDGET_MISSING', 'expected a budget, found none', {
    expected: '--size, --bpw or --ratio',
    suggestion: 'For example --size 1.2GB, --bpw 3.5 or --ratio 5.',
  });
}

/**
 * Bytes of a size as people write it; letters in any case.
 * @param flag what an error names
 * @throws BitsmithError `BUDGET_MALFORMED`.
 */
export function parseSize(size: string | number, flag = '--size'): number {
  const parts = /^(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)$/i.exec(String(size).trim());
  const unit = parts === null ? undefined : unitBytes.get(parts[2].toLowerCase());
  if (parts === null || unit === undefined) throw malformed(flag, size, SIZE_FORMS);
  const exact = Number(parts[1]) * unit;
  if (unit === 1 && !Number.isInteger(exact)) throw malformed(flag, size, `whole bytes: ${SIZE_FORMS}`);
  const bytes = Math.floor(exact);
  if (bytes < 1 || !Number.isSafeInteger(bytes)) {
    throw malformed(flag, size, `at least 1 byte and below 2^53: ${SIZE_FORMS}`);
  }
  return bytes;
}

function parsePlainNumber(
  flag: string,
  value: string | number,
  form: string,
  isLegal: (value: number) => boolean,
): number {
  const text = String(value).trim();
  const parsed = /^(\d+(?:\.\d*)?|\.\d+)$/.test(text) ? Number(text) : Number.NaN;
  if (!isLegal(parsed) || !Number.isFinite(parsed)) throw malformed(flag, value, form);
  return parsed;
}

function malformed(flag: string, found: string | number, expected: string): BitsmithError {
  return new BitsmithError('arguments', 'BUDGET_MALFORMED', `${flag} ${found}: expected ${expected}`, {
    expected,
    found: String(found),
    suggestion: `Write ${flag} as ${expected}.`,
  });
}

/**
 * The bytes that the tightest of the wishes allows.
 * @throws BitsmithError `BUDGET_IMPOSSIBLE`, naming the smallest and the largest possible sizes.
 */
export function resolveBudget(terms: readonly BudgetTerm[], facts: BudgetFacts): Budget {
  const { headerBytes, data } = facts;
  const bytes = Math.min(...terms.map((term) => fileBytesOf(term, facts)));
  const request = terms.map(({ text }) => text).join(' and ');
  if (bytes < headerBytes + data.smallestBytes) throw impossible(request, bytes, facts);
  return {
    request,
    bytes,
    dataBytes: bytes - headerBytes,
    keepsEverything: bytes >= headerBytes + data.largestBytes,
  };
}

function fileBytesOf(term: BudgetTerm, facts: BudgetFacts): number {
  switch (term.kind) {
    case 'size':
      return term.bytes;
    case 'bpw':
      // Counted with the padding, so that the bits without it, which llama.cpp reports, are never more.
      return facts.headerBytes + Math.floor((term.bitsPerWeight * facts.parameterCount) / 8);
    case 'ratio':
      return Math.floor(facts.sourceBytes / term.ratio);
    default:
      return term satisfies never;
  }
}

function impossible(
  request: string,
  bytes: number,
  { headerBytes, data, parameterCount }: BudgetFacts,
): BitsmithError {
  const smallest = headerBytes + data.smallestBytes;
  const largest = headerBytes + data.largestBytes;
  const bits = ((data.smallestBytes * 8) / parameterCount).toFixed(2);
  return new BitsmithError(
    'budget-impossible',
    'BUDGET_IMPOSSIBLE',
    `${request} allows a file of ${formatBytes(bytes)}, but the smallest possible is ${formatBytes(smallest)}`,
    {
      expected: `${formatBytes(smallest)} to ${formatBytes(largest)}`,
      found: formatBytes(bytes),
      suggestion: `Ask for at least --size ${smallest} (${bits} bits per weight); as stored, the model takes ${formatBytes(largest)}.`,
    },
  );
}
