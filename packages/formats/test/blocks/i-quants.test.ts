import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type GridBlock, gridBlock, type GridFormat, gridFormat, tensorTypes } from '../../src/index.js';

const names = ['IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ3_XXS', 'IQ3_S'] as const;
const cases = names.map((name) => [name, gridFormat(name) as GridFormat] as const);

/** The eighth sign of each eight follows from the seven others. */
function evened(signs: readonly number[]): number[] {
  const seven = signs.map((bits) => bits & 127);
  return seven.map((bits) => bits | (([...bits.toString(2)].filter((bit) => bit === '1').length % 2) << 7));
}

const integers = (length: number, max: number) =>
  fc.array(fc.integer({ min: 0, max }), { minLength: length, maxLength: length });

const blocksOf = ({ dimensions, gridSize, groupSize, evenSigns }: GridFormat): fc.Arbitrary<GridBlock> =>
  fc.record({
    points: integers(256 / dimensions, gridSize - 1).map((points) => Uint16Array.from(points)),
    signs: integers(32, 255).map((signs) => Uint8Array.from(evenSigns ? evened(signs) : signs)),
    scaleCodes: integers(256 / groupSize, 15).map((codes) => Uint8Array.from(codes)),
    scale: fc.constantFrom(0, 2 ** -24, 1 / 1024, 0.0625, 1, 65_504),
  });

describe.each(cases)('%s', (name, format) => {
  it('is as long as ggml says', () => {
    expect(format.blockSize).toBe(tensorTypes[name].blockSize);
    expect(format.blockBytes).toBe(tensorTypes[name].blockBytes);
  });

  it('closes to the bytes that it was opened from, whatever they are, and no others', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: format.blockBytes, maxLength: format.blockBytes }),
        fc.integer({ min: 0, max: 5 }),
        (bytes, at) => {
          // Infinities and what is no number are no scales.
          if ((bytes[1] & 0x7c) === 0x7c) bytes[1] ^= 0x40;
          const stored = Buffer.concat([Buffer.alloc(at, 7), bytes, Buffer.alloc(3, 9)]);
          const block = gridBlock(format);
          format.open(stored, at, block);
          const again = Buffer.alloc(stored.length, 0xaa);
          format.close(block, again, at);
          expect(again.subarray(at, at + bytes.length).equals(bytes)).toBe(true);
          expect(again.subarray(0, at).every((byte) => byte === 0xaa)).toBe(true);
          expect(again.subarray(at + bytes.length).every((byte) => byte === 0xaa)).toBe(true);
        },
      ),
    );
  });

  it('opens what was closed', () => {
    fc.assert(
      fc.property(blocksOf(format), (block) => {
        const bytes = new Uint8Array(format.blockBytes);
        format.close(block, bytes, 0);
        const again = gridBlock(format);
        format.open(bytes, 0, again);
        expect(again).toEqual(block);
      }),
    );
  });
});

it('no other type has a grid that is opened', () => {
  const others = Object.keys(tensorTypes).filter((name) => !(names as readonly string[]).includes(name));
  expect(others.map((name) => gridFormat(name as keyof typeof tensorTypes))).toEqual(others.map(() => null));
});
