/**
 * @file Ternary codes fitted to the weights. TQ1_0 and TQ2_0 keep a block of 256 weights as a half float d times codes of -1, 0 and 1.
 * ggml takes the largest magnitude for d: right for weights that are ternary already, while of any others it leaves little but
 * zeros. Here d and the codes are those of least squared error, weighted by importance: whatever d is, the best codes are not zero
 * where |w| > d/2, so that the k largest weights get them; with those fixed, d = sum c |w| / sum c; and the best k is the one of
 * largest (sum c |w|)^2 / sum c, which one pass over the sorted magnitudes finds. The bytes are laid out as ggml reads them.
 */
import { BitsmithError, decodeF16, encodeF16 } from '@bitsmith/formats';

export type TernaryScheme = 'TQ1_0' | 'TQ2_0';

/** Part of the key of everything measured with these codes. */
export const TERNARY_VERSION = 1;

export interface TernaryInput {
  /** Whole rows, row by row. */
  readonly values: Float32Array;
  /** A multiple of 256. */
  readonly rowLength: number;
  /** One weight per column; absent: all alike. */
  readonly importance?: Float32Array;
}

export const ternarySchemes: readonly TernaryScheme[] = ['TQ1_0', 'TQ2_0'];

export function isTernary(scheme: string): scheme is TernaryScheme {
  return scheme === 'TQ1_0' || scheme === 'TQ2_0';
}

const BLOCK = 256;
const LARGEST_HALF = 65504;

/** How each scheme stores the 256 codes before the two bytes of d. */
const layouts = {
  TQ1_0: { codeBytes: 52, pack: packFiveAByte },
  TQ2_0: { codeBytes: 64, pack: packFourAByte },
} as const;

/**
 * Fills `target` with the rows' blocks.
 * @throws BitsmithError `VALUES_NOT_FINITE`, `VALUES_TOO_LARGE` where d is no half float
 */
export function encodeTernary(input: TernaryInput, scheme: TernaryScheme, target: Uint8Array): void {
  const { values, rowLength, importance } = input;
  const { codeBytes, pack } = layouts[scheme];
  const blockBytes = codeBytes + 2;
  const codes = new Int8Array(BLOCK);
  for (let start = 0, at = 0; start < values.length; start += BLOCK, at += blockBytes) {
    const block = values.subarray(start, start + BLOCK);
    const column = start % rowLength;
    const half = fitBlock(block, importance?.subarray(column, column + BLOCK), codes);
    pack(codes, target.subarray(at, at + codeBytes));
    target[at + codeBytes] = half & 0xff;
    target[at + codeBytes + 1] = half >> 8;
  }
}

/** Puts the best codes in place and gives the bits of d. */
function fitBlock(block: Float32Array, importance: Float32Array | undefined, codes: Int8Array): number {
  const scale = bestScale(block, importance) ?? bestScale(block, undefined) ?? 0;
  if (scale > LARGEST_HALF) throw tooLarge(scale);
  const half = encodeF16(Float32Array.of(scale));
  // Codes follow the scale that is stored.
  const threshold = decodeF16(half)[0] / 2;
  for (let i = 0; i < BLOCK; i++) codes[i] = Math.abs(block[i]) > threshold ? Math.sign(block[i]) : 0;
  return half[0];
}

const order = new Float64Array(BLOCK);
const magnitude = new Float32Array(1);
const magnitudeBits = new Uint32Array(magnitude.buffer);

/** The scale of least error; null where importance has nothing to say of a block that is not zero. */
function bestScale(block: Float32Array, importance: Float32Array | undefined): number | null {
  let total = 0;
  for (let i = 0; i < BLOCK; i++) {
    magnitude[0] = Math.abs(block[i]);
    total += magnitude[0];
    // The bits of a positive float are in its order; the place goes along in what a double has left.
    order[i] = magnitudeBits[0] * BLOCK + i;
  }
  if (!Number.isFinite(total)) throw notFinite();
  if (total === 0) return 0;
  order.sort();
  let sum = 0;
  let weight = 0;
  let best = 0;
  let scale: number | null = null;
  for (let k = BLOCK - 1; k >= 0; k--) {
    const i = order[k] % BLOCK;
    const c = importance === undefined ? 1 : importance[i];
    sum += c * Math.abs(block[i]);
    weight += c;
    const gain = weight > 0 ? (sum * sum) / weight : 0;
    if (gain > best) {
      best = gain;
      scale = sum / weight;
    }
  }
  return scale;
}

/** TQ2_0: two bits a code, 32 apart in the block. */
function packFourAByte(codes: Int8Array, target: Uint8Array): void {
  for (let i = 0; i < target.length; i++) {
    const first = (i >> 5) * 128 + (i & 31);
    let byte = 0;
    for (let n = 0; n < 4; n++) byte |= (codes[first + n * 32] + 1) << (2 * n);
    target[i] = byte;
  }
}

/** TQ1_0: 32 bytes of five codes each 32 apart, 16 bytes of five 16 apart, 4 bytes of four 4 apart. */
function packFiveAByte(codes: Int8Array, target: Uint8Array): void {
  for (let i = 0; i < 32; i++) target[i] = trits(codes, i, 32, 5);
  for (let i = 0; i < 16; i++) target[32 + i] = trits(codes, 160 + i, 16, 5);
  for (let i = 0; i < 4; i++) target[48 + i] = trits(codes, 240 + i, 4, 4);
}

const POWERS = 3 ** 5;

/** Digits to base 3, the first the most significant, as a fraction of a byte rounded up: so each comes back by multiplying by 3. */
function trits(codes: Int8Array, first: number, apart: number, count: number): number {
  let digits = 0;
  for (let n = 0; n < 5; n++) digits = digits * 3 + (n < count ? codes[first + n * apart] + 1 : 0);
  return Math.floor((digits * 256 + POWERS - 1) / POWERS);
}

function notFinite(): BitsmithError {
  return new BitsmithError(
    'arguments',
    'VALUES_NOT_FINITE',
    'expected finite weights for ternary codes, found NaN or infinity',
    { suggestion: 'The source model is damaged or overflowed in training: get another copy.' },
  );
}

function tooLarge(scale: number): BitsmithError {
  return new BitsmithError(
    'arguments',
    'VALUES_TOO_LARGE',
    `expected weights whose scale is at most ${LARGEST_HALF} (a half float), found ${scale}`,
    { suggestion: 'Keep this tensor in F32 or BF16.' },
  );
}
