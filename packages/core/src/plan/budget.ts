/**
 * @file Budgets: what a user asks for, as the bytes that the file may have. Several at once: the tightest holds. Whether a
 * budget can be met is arithmetic, known before anything is measured.
 */
import { BitsmithError } from '@bitsmith/formats';
import { type KeyValueType, keyValueTypes } from './memory/key-value-types.js';
import type { ContextMemory } from './memory/context-memory.js';
import { misshapen, plainNumber } from './plain-number.js';
import { formatBytes, formatCount } from './units.js';

/** One wish. `text` is how it was asked for. */
export type BudgetTerm =
  | { readonly kind: 'size'; readonly bytes: number; readonly text: string }
  | { readonly kind: 'bpw'; readonly bitsPerWeight: number; readonly text: string }
  | { readonly kind: 'ratio'; readonly ratio: number; readonly text: string }
  | ({ readonly kind: 'memory'; readonly bytes: number; readonly text: string } & ContextQuestion);

/** What the file will be run with. */
export interface ContextQuestion {
  readonly contextTokens: number;
  readonly keyValueType: KeyValueType;
}

/** The wishes as given: on the command line as text, from code as text or numbers. */
export interface BudgetOptions {
  /** `1.2GB`, `800MiB`, or bytes. */
  readonly size?: string | number;
  /** Stored bits of all tensors by the number of weights, as llama.cpp counts them. */
  readonly bpw?: string | number;
  /** Source bytes / written bytes. */
  readonly ratio?: string | number;
  /** Memory for weights, keys and values of `context` tokens, and the buffers that graphs are computed in. */
  readonly memory?: string | number;
  /** Tokens of context that the file will be run with. */
  readonly context?: string | number;
  /** What keys and values are kept in: `F16` unless told. */
  readonly keyValueType?: string;
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
  /** What a context takes, where memory is among the wishes. */
  readonly contextMemory?: ContextMemory;
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
  /** What the context takes of the memory asked for; absent where none was. */
  readonly memory?: ContextMemory;
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
 * @throws BitsmithError `BUDGET_MALFORMED` for a bad unit or number, or a context without memory.
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
  const memory = parseMemory(options);
  return memory === null ? terms : [...terms, memory];
}

/** @throws BitsmithError `BUDGET_MISSING` */
export function refuseNoBudget(count: number): void {
  if (count > 0) return;
  throw new BitsmithError('arguments', 'BUDGET_MISSING', 'expected a budget, found none', {
    expected: '--size, --bpw, --ratio, --memory, --max-kl, --max-ppl-increase or --min-cosine',
    suggestion: 'For example --size 1.2GB, --bpw 3.5, --memory 8GB --context 8192 or --max-kl 0.01.',
  });
}

const CONTEXT_FORM = 'whole tokens, at least 1 and below 16,777,217, for example 8192';
const MOST_CONTEXT = 2 ** 24;

/** Memory and the context it is for: neither says anything without the other. */
function parseMemory({ memory, context, keyValueType }: BudgetOptions): BudgetTerm | null {
  if (memory === undefined) {
    if (context === undefined && keyValueType === undefined) return null;
    const [flag, found] = context === undefined ? ['--kv-type', keyValueType] : ['--context', context];
    throw new BitsmithError(
      'arguments',
      'BUDGET_MALFORMED',
      `${flag} ${found}: expected --memory beside it, the budget that it belongs to`,
      { suggestion: 'Add --memory SIZE. Tokens of one chunk of text are --chunk.' },
    );
  }
  if (context === undefined) {
    throw new BitsmithError(
      'arguments',
      'BUDGET_MALFORMED',
      `--memory ${memory}: expected --context beside it, the tokens that the file will be run with`,
      {
        expected: '--memory SIZE --context TOKENS',
        suggestion: `For example --memory ${memory} --context 8192.`,
      },
    );
  }
  const bytes = parseSize(memory, '--memory');
  const isLegal = (tokens: number): boolean =>
    Number.isInteger(tokens) && tokens >= 1 && tokens <= MOST_CONTEXT;
  const contextTokens = parsePlainNumber('--context', context, CONTEXT_FORM, isLegal);
  const type = parseKeyValueType(keyValueType);
  const text = `memory ${memory} with ${formatCount(contextTokens)} tokens of context in ${type}`;
  return { kind: 'memory', bytes, contextTokens, keyValueType: type, text };
}

function parseKeyValueType(name = 'F16'): KeyValueType {
  const type = keyValueTypes.find((each) => each === name.trim().toUpperCase());
  if (type === undefined) throw malformed('--kv-type', name, `one of ${keyValueTypes.join(', ')}`);
  return type;
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
  const parsed = plainNumber(value);
  if (!isLegal(parsed) || !Number.isFinite(parsed)) throw malformed(flag, value, form);
  return parsed;
}

function malformed(flag: string, found: string | number, expected: string): BitsmithError {
  return misshapen('BUDGET_MALFORMED', flag, found, expected);
}

/**
 * The bytes that the tightest of the wishes allows.
 * @throws BitsmithError `BUDGET_IMPOSSIBLE`, naming the smallest and the largest possible sizes.
 */
export function resolveBudget(terms: readonly BudgetTerm[], facts: BudgetFacts): Budget {
  const { headerBytes, data } = facts;
  const largest = headerBytes + data.largestBytes;
  const limits = terms.map((term) => ({ term, bytes: fileBytesOf(term, facts) }));
  const bytes = Math.min(...limits.map((limit) => limit.bytes), limits.length === 0 ? largest : Infinity);
  const request = terms.map(({ text }) => text).join(' and ');
  if (bytes < headerBytes + data.smallestBytes) {
    const tightest = limits.find((limit) => limit.bytes === bytes)?.term;
    throw tightest?.kind === 'memory' ? memoryImpossible(tightest, facts) : impossible(request, bytes, facts);
  }
  return {
    request,
    bytes,
    dataBytes: bytes - headerBytes,
    keepsEverything: bytes >= largest,
    ...(facts.contextMemory === undefined ? {} : { memory: facts.contextMemory }),
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
    case 'memory':
      // The header is read and let go: what stays in memory is the tensors.
      return facts.headerBytes + term.bytes - contextBytesOf(facts);
    default:
      return term satisfies never;
  }
}

function contextBytesOf({ contextMemory }: BudgetFacts): number {
  if (contextMemory !== undefined) return contextMemory.totalBytes;
  throw new Error('a memory budget needs the memory that the context takes');
}

function memoryImpossible(
  { bytes, text }: BudgetTerm & { kind: 'memory' },
  facts: BudgetFacts,
): BitsmithError {
  const contextBytes = contextBytesOf(facts);
  const { cacheBytes = 0, computeBytes = 0 } = facts.contextMemory ?? {};
  const needed = contextBytes + facts.data.smallestBytes;
  const context = `${formatBytes(contextBytes)} for the context (${formatBytes(cacheBytes)} of keys and values, ${formatBytes(computeBytes)} to compute in)`;
  return new BitsmithError(
    'budget-impossible',
    'BUDGET_IMPOSSIBLE',
    `${text} is ${formatBytes(bytes)}, but ${context} and ${formatBytes(facts.data.smallestBytes)} for the smallest weights are needed`,
    {
      expected: `${formatBytes(needed)} or more`,
      found: formatBytes(bytes),
      suggestion: `Ask for at least --memory ${needed}, a shorter --context, or a smaller --kv-type such as Q8_0.`,
    },
  );
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
