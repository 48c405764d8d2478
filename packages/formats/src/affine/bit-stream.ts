/** @file Codes of 1 to 8 bits as a little-endian bit stream: the first code in the lowest bits of the first byte. */

/** Writes `count` codes, each below 2^bits, to whole bytes of `target` from `offset` on; bits left over are 0. */
export function packCodes(
  codes: Uint8Array,
  count: number,
  bits: number,
  target: Uint8Array,
  offset: number,
): void {
  let pending = 0;
  let filled = 0;
  let at = offset;
  for (let index = 0; index < count; index++) {
    pending |= codes[index] << filled;
    filled += bits;
    if (filled >= 8) {
      target[at++] = pending;
      pending >>>= 8;
      filled -= 8;
    }
  }
  if (filled > 0) target[at] = pending;
}

/** Reads `count` codes back. */
export function unpackCodes(
  packed: Uint8Array,
  offset: number,
  count: number,
  bits: number,
  target: Uint8Array,
): void {
  const mask = (1 << bits) - 1;
  let pending = 0;
  let filled = 0;
  let at = offset;
  for (let index = 0; index < count; index++) {
    if (filled < bits) {
      pending |= packed[at++] << filled;
      filled += 8;
    }
    target[index] = pending & mask;
    pending >>>= bits;
    filled -= bits;
  }
}
