/**
 * @file The name rules as an assignment, and what they do for a size: the largest tensor first, a step of 8 -> 4 -> 2 bits each,
 * around and around until the file fits; what has 16 bits keeps them.
 */
import { BitsmithError } from '@bitsmith/formats';
import { fileBytes } from '../bytes.js';
import type { StorageOption, TensorOptions } from '../options.js';
import type { StorageType } from '../schemes.js';
import { formatBytes } from '../units.js';
import { blockCount, type RuleBits, ruleFor } from './name-rules.js';

/**
 * Schemes that stand for bits, in order of preference. Where 256 does not divide the rows, llama.cpp's own way out: a wider
 * scheme of shorter blocks.
 */
const schemesOfBits: Readonly<Record<Exclude<RuleBits, 16>, readonly StorageType[]>> = {
  2: ['Q2_K', 'Q4_0'],
  4: ['Q4_K', 'Q4_0'],
  8: ['Q8_0'],
};

export interface RuleAssignment {
  readonly schemes: ReadonlyMap<string, StorageType>;
  /** Exact bytes of the file, header included. */
  readonly bytes: number;
  /** Bits that the rules came to, by tensor; those of locks and kept tensors are not among them. */
  readonly bits: ReadonlyMap<string, RuleBits>;
}

interface Ruled {
  readonly options: TensorOptions;
  bits: RuleBits;
}

/**
 * What the rules make of a model.
 * @param fileBytesAtMost what the file may have; Infinity: as the rules say, whatever it takes
 * @throws BitsmithError `BUDGET_IMPOSSIBLE` with the least that the rules can reach
 */
export function ruleAssignment(
  storage: readonly TensorOptions[],
  headerBytes: number,
  fileBytesAtMost: number = Number.POSITIVE_INFINITY,
): RuleAssignment {
  const blocks = blockCount(storage.map(({ tensor }) => tensor));
  const ruled = storage.map((options): Ruled => ({ options, bits: ruleFor(options.tensor, blocks).bits }));
  let bytes = sizeOf(ruled, headerBytes);
  while (bytes > fileBytesAtMost) {
    const before = bytes;
    for (const each of largestFirst(ruled)) {
      const taken = optionOf(each).bytes;
      each.bits = each.bits === 8 ? 4 : 2;
      bytes += optionOf(each).bytes - taken;
      if (bytes <= fileBytesAtMost) break;
    }
    if (bytes >= before) throw impossible(bytes, fileBytesAtMost);
  }
  const free = ruled.filter(({ options }) => options.constraint === null);
  return {
    schemes: new Map(ruled.map((each) => [each.options.tensor.name, optionOf(each).scheme])),
    bytes,
    bits: new Map(free.map(({ options, bits }) => [options.tensor.name, bits])),
  };
}

/** What may still be reduced. */
function largestFirst(ruled: readonly Ruled[]): readonly Ruled[] {
  return ruled
    .filter(({ options, bits }) => options.constraint === null && (bits === 8 || bits === 4))
    .toSorted((a, b) => b.options.tensor.elements - a.options.tensor.elements);
}

/** Locks and kept tensors have one option alone. */
function optionOf({ options: { tensor, options }, bits }: Ruled): StorageOption {
  const widths = ([2, 4, 8] as const).filter((width) => width >= bits);
  const wanted = widths.flatMap((width) => schemesOfBits[width]);
  const found = wanted.flatMap((scheme) => options.find((option) => option.scheme === scheme) ?? []);
  const stored = options.find(({ scheme }) => scheme === tensor.type);
  return found.at(0) ?? stored ?? (options.at(-1) as StorageOption);
}

function sizeOf(ruled: readonly Ruled[], headerBytes: number): number {
  return fileBytes(
    headerBytes,
    ruled.map((each) => optionOf(each).bytes),
  );
}

function impossible(least: number, asked: number): BitsmithError {
  return new BitsmithError(
    'budget-impossible',
    'BUDGET_IMPOSSIBLE',
    `the name rules reach ${formatBytes(least)} at the least, for what they call sensitive keeps 16 bits; the budget is ${formatBytes(asked)}`,
    {
      expected: `${formatBytes(least)} or more`,
      found: formatBytes(asked),
      suggestion: `Ask for at least --size ${least}, or plan by prices, which may go below.`,
    },
  );
}
