/**
 * @file The checks before native calls. The engine raises nothing for most misuse: it returns garbage, corrupts memory or
 * ends the process; so every rule it silently relies on is stated here.
 */
import { BitsmithError, tensorTypes, type TensorType } from '@bitsmith/formats';

/** A mistake in how the engine is called. */
export function misuse(code: string, expected: string, found: string, suggestion?: string): BitsmithError {
  return new BitsmithError('validation', code, `expected ${expected}, found ${found}`, {
    expected,
    found,
    suggestion,
  });
}

export function assertCount(name: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  throw misuse('ENGINE_ARGUMENT', `${name} to be a whole number from ${least} to ${most}`, String(value));
}

/** Types with integer codes that no encoder writes: they exist for products inside the engine, or hold integers. */
const notWeights: ReadonlySet<TensorType> = new Set(['Q8_1', 'Q8_K', 'I8', 'I16', 'I32', 'I64', 'F64']);

/** Refuses a type that holds no weights the engine can decode. */
export function assertWeightType(type: TensorType): void {
  if (Object.hasOwn(tensorTypes, type) && !notWeights.has(type)) return;
  throw misuse('TENSOR_TYPE', 'a tensor type for weights', String(type));
}

/** Bytes of `rows` rows, after checking that a row is a whole number of blocks. */
export function encodedByteLength(type: TensorType, rows: number, rowLength: number): number {
  assertWeightType(type);
  assertCount('rows', rows, 1, Number.MAX_SAFE_INTEGER);
  assertCount('rowLength', rowLength, 1, Number.MAX_SAFE_INTEGER);
  const { blockSize, blockBytes } = tensorTypes[type];
  if (rowLength % blockSize !== 0) {
    throw misuse(
      'ROW_NOT_BLOCKS',
      `rows of a multiple of ${blockSize} weights for ${type}`,
      `${rowLength} weights`,
      'Choose a type whose block size divides the row.',
    );
  }
  return rows * (rowLength / blockSize) * blockBytes;
}

export function assertLength(what: string, unit: string, found: number, expected: number): void {
  if (found === expected) return;
  throw misuse('BUFFER_SIZE', `${expected} ${unit} of ${what}`, `${found}`);
}

/** Types that the engine refuses to encode (it ends the process) without importance weights. */
const importanceTypes: ReadonlySet<TensorType> = new Set(['IQ2_XXS', 'IQ2_XS', 'IQ1_S']);

export function requiresImportance(type: TensorType): boolean {
  return importanceTypes.has(type);
}

/** Importance must be finite, not negative, and not zero everywhere: otherwise the codes are garbage or the process ends. */
export function assertImportance(
  type: TensorType,
  importance: Float32Array | undefined,
  rowLength: number,
): void {
  if (importance === undefined) {
    if (!requiresImportance(type)) return;
    throw misuse(
      'IMPORTANCE_REQUIRED',
      `importance weights for ${type}`,
      'none',
      'Calibrate first, or choose a type that needs no importance matrix.',
    );
  }
  assertLength('importance', 'values', importance.length, rowLength);
  let sum = 0;
  for (let i = 0; i < importance.length; i++) {
    const value = importance[i];
    if (!(value >= 0 && value < Infinity)) {
      throw misuse(
        'IMPORTANCE_INVALID',
        'importance weights that are finite and not negative',
        `${value} at column ${i}`,
        'The importance matrix is damaged: make it again.',
      );
    }
    sum += value;
  }
  if (sum > 0) return;
  throw misuse(
    'IMPORTANCE_ZERO',
    'importance weights that are not all zero',
    'only zeros',
    'Calibrate on more text, or encode this tensor without importance.',
  );
}
