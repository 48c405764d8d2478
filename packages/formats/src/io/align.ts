/** Rounds up to a multiple of `alignment`. Plain arithmetic, because offsets pass 2^32 and bit operators would not. */
export function alignUp(offset: number, alignment: number): number {
  const over = offset % alignment;
  return over === 0 ? offset : offset + (alignment - over);
}
