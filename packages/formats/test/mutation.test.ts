/** @file 10,000 damaged files: whatever a byte turns into, the answer is a file or a coded error, soon. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BitsmithError,
  MemorySource,
  readAnyImatrix,
  readGguf,
  readSafetensors,
  type ByteSource,
} from '../src/index.js';
import { goldenBytes } from './support/golden.js';

type Mutation =
  | { kind: 'set'; at: number; bytes: Uint8Array }
  | { kind: 'flip'; at: number; bit: number }
  | { kind: 'cut'; at: number }
  | { kind: 'insert'; at: number; bytes: Uint8Array }
  | { kind: 'remove'; at: number; count: number }
  | { kind: 'move'; at: number; to: number; count: number };

// What breaks parsers: extremes of every width, over random places.
const extremes = fc.constantFrom(
  Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
  Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f),
  Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x80),
  Uint8Array.of(0, 0, 0, 0, 0, 1, 0, 0),
  Uint8Array.of(0xff, 0xff, 0xff, 0xff),
  Uint8Array.of(0xff, 0xff, 0xff, 0x7f),
  Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0),
  Uint8Array.of(0xff),
);
const someBytes = fc.oneof(extremes, fc.uint8Array({ minLength: 1, maxLength: 12 }));
/** A place in the file, as a fraction of its header. */
const place = fc.double({ min: 0, max: 0.999_999, noNaN: true });

const mutations: fc.Arbitrary<Mutation[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('set' as const), at: place, bytes: someBytes }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('flip' as const),
        at: place,
        bit: fc.integer({ min: 0, max: 7 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('cut' as const), at: place }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('insert' as const), at: place, bytes: someBytes }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('remove' as const),
        at: place,
        count: fc.integer({ min: 1, max: 40 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('move' as const),
        at: place,
        to: place,
        count: fc.integer({ min: 1, max: 40 }),
      }),
    },
  ),
  { minLength: 1, maxLength: 4 },
);

function mutated(original: Uint8Array, headerBytes: number, steps: readonly Mutation[]): Uint8Array {
  let bytes = Array.from(original);
  for (const step of steps) {
    const at = Math.floor(step.at * headerBytes);
    switch (step.kind) {
      case 'set':
        step.bytes.forEach((byte, index) => (bytes[at + index] = byte));
        break;
      case 'flip':
        bytes[at] = (bytes[at] ?? 0) ^ (1 << step.bit);
        break;
      case 'cut':
        bytes = bytes.slice(0, at);
        break;
      case 'insert':
        bytes.splice(at, 0, ...step.bytes);
        break;
      case 'remove':
        bytes.splice(at, step.count);
        break;
      case 'move': {
        const piece = bytes.slice(at, at + step.count);
        piece.forEach((byte, index) => (bytes[Math.floor(step.to * headerBytes) + index] = byte));
        break;
      }
      default:
        step satisfies never;
    }
  }
  return Uint8Array.from(bytes, (byte) => byte ?? 0);
}

type Read = (source: ByteSource) => Promise<unknown>;

const targets: [name: string, headerBytes: number, read: Read, runs: number][] = [
  ['values.gguf', 1600, readGguf, 3000],
  ['quantized.gguf', 9000, readGguf, 1000],
  ['dtypes.safetensors', 1300, readSafetensors, 3000],
  ['imatrix-experts.gguf', 1200, readAnyImatrix, 2000],
  ['imatrix-dense.dat', 1270, readAnyImatrix, 1000],
];

describe('a file with random damage', () => {
  it.each(targets)(
    '%s is read or refused with a code',
    async (name, headerBytes, read, runs) => {
      const original = goldenBytes(name);
      const outcomes = new Map<string, number>();
      await fc.assert(
        fc.asyncProperty(mutations, async (steps) => {
          const outcome = await outcomeOf(read, mutated(original, headerBytes, steps));
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        }),
        { numRuns: runs, seed: 11 },
      );
      // The damage reaches many different checks, and some of it changes values only.
      expect(outcomes.size).toBeGreaterThan(5);
      expect(outcomes.get('read')).toBeGreaterThan(0);
    },
    20_000,
  );

  it('counts 10,000 cases', () => {
    expect(targets.reduce((sum, [, , , runs]) => sum + runs, 0)).toBe(10_000);
  });
});

async function outcomeOf(read: Read, bytes: Uint8Array): Promise<string> {
  try {
    await read(new MemorySource(bytes));
    return 'read';
  } catch (error) {
    if (!(error instanceof BitsmithError)) throw error;
    expect(error.message.length).toBeLessThan(20_000);
    return error.code;
  }
}
