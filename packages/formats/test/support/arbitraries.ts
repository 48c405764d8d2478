import * as fc from 'fast-check';
import {
  elementCount,
  tensorTypeNames,
  tensorTypes,
  type GgufArray,
  type GgufTensorSpec,
  type GgufValue,
} from '../../src/index.js';

const text = fc.string({ unit: 'binary', maxLength: 12 });
/** Bytes that no UTF-8 reader takes for text. */
const otherBytes = fc.uint8Array({ maxLength: 6 }).map((bytes) => Uint8Array.of(0xff, ...bytes));
const ggufText = fc.oneof({ weight: 4, arbitrary: text }, { weight: 1, arbitrary: otherBytes });

const integerRanges = {
  uint8: [0, 255],
  int8: [-128, 127],
  uint16: [0, 65_535],
  int16: [-32_768, 32_767],
  uint32: [0, 4_294_967_295],
  int32: [-2_147_483_648, 2_147_483_647],
} as const;

const scalars: fc.Arbitrary<GgufValue> = fc.oneof(
  ...Object.entries(integerRanges).map(([type, [min, max]]) =>
    fc.record({ type: fc.constant(type as keyof typeof integerRanges), value: fc.integer({ min, max }) }),
  ),
  fc.record({ type: fc.constant('float32' as const), value: fc.float() }),
  fc.record({ type: fc.constant('float64' as const), value: fc.double() }),
  fc.record({ type: fc.constant('uint64' as const), value: fc.bigInt(0n, 2n ** 64n - 1n) }),
  fc.record({ type: fc.constant('int64' as const), value: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n) }),
  fc.record({ type: fc.constant('bool' as const), value: fc.boolean() }),
  fc.record({ type: fc.constant('string' as const), value: ggufText }),
);

const size = { maxLength: 9 };
const arrays: fc.Arbitrary<GgufArray> = fc.letrec<{ array: GgufArray }>((tie) => ({
  array: fc.oneof(
    { depthSize: 'small', maxDepth: 3 },
    fc.oneof(
      fc.uint8Array(size).map((value) => ({ type: 'array' as const, itemType: 'uint8' as const, value })),
      fc.int8Array(size).map((value) => ({ type: 'array' as const, itemType: 'int8' as const, value })),
      fc.uint16Array(size).map((value) => ({ type: 'array' as const, itemType: 'uint16' as const, value })),
      fc.int16Array(size).map((value) => ({ type: 'array' as const, itemType: 'int16' as const, value })),
      fc.uint32Array(size).map((value) => ({ type: 'array' as const, itemType: 'uint32' as const, value })),
      fc.int32Array(size).map((value) => ({ type: 'array' as const, itemType: 'int32' as const, value })),
      fc.float32Array(size).map((value) => ({ type: 'array' as const, itemType: 'float32' as const, value })),
      fc.float64Array(size).map((value) => ({ type: 'array' as const, itemType: 'float64' as const, value })),
      fc.array(fc.bigInt(0n, 2n ** 64n - 1n), size).map((value) => ({
        type: 'array' as const,
        itemType: 'uint64' as const,
        value: BigUint64Array.from(value),
      })),
      fc.array(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), size).map((value) => ({
        type: 'array' as const,
        itemType: 'int64' as const,
        value: BigInt64Array.from(value),
      })),
      fc
        .array(fc.boolean(), size)
        .map((value) => ({ type: 'array' as const, itemType: 'bool' as const, value })),
      fc
        .array(ggufText, size)
        .map((value) => ({ type: 'array' as const, itemType: 'string' as const, value })),
    ),
    fc
      .array(tie('array'), { maxLength: 3 })
      .map((value) => ({ type: 'array' as const, itemType: 'array' as const, value })),
  ),
})).array;

const keys = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .filter((key) => key !== 'general.alignment');

/** Any metadata a GGUF can hold. */
export const metadata: fc.Arbitrary<Map<string, GgufValue>> = fc
  .array(fc.tuple(keys, fc.oneof({ weight: 3, arbitrary: scalars }, { weight: 2, arbitrary: arrays })), {
    maxLength: 12,
  })
  .map((entries) => new Map(entries));

const shapeOf = (blockSize: number): fc.Arbitrary<number[]> =>
  fc
    .tuple(
      fc.integer({ min: 1, max: blockSize === 1 ? 9 : 3 }),
      fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 3 }),
    )
    .map(([blocks, rest]) => [blocks * blockSize, ...rest]);

const tensorSpec: fc.Arbitrary<GgufTensorSpec> = fc.constantFrom(...tensorTypeNames).chain((type) =>
  fc.record({
    name: fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 60 }),
    type: fc.constant(type),
    shape: shapeOf(tensorTypes[type].blockSize),
  }),
);

/** Tensors of every type, names unique. */
export const tensorSpecs: fc.Arbitrary<GgufTensorSpec[]> = fc.uniqueArray(tensorSpec, {
  selector: ({ name }) => name,
  maxLength: 8,
});

/** Values like those of an importance matrix: finite, not negative. */
export const squares = (count: number): fc.Arbitrary<Float32Array> =>
  fc.float32Array({ min: 0, noNaN: true, noDefaultInfinity: true, minLength: count, maxLength: count });

export const extraTensor: fc.Arbitrary<{ shape: number[]; values: Float32Array }> = shapeOf(1).chain(
  (shape) =>
    fc
      .float32Array({ minLength: elementCount(shape), maxLength: elementCount(shape) })
      .map((values) => ({ shape, values })),
);
