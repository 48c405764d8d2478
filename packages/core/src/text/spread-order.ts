/**
 * @file An order of a text's chunks in which any first part is spread over the whole text: by the bits of the number, read
 * backwards (van der Corput's sequence). More samples then contain the fewer.
 */
export function spreadOrder(count: number): number[] {
  const bits = Math.ceil(Math.log2(Math.max(2, count)));
  const order: number[] = [];
  for (let i = 0; i < 2 ** bits; i++) {
    let reversed = 0;
    for (let bit = 0; bit < bits; bit++)
      if (Math.floor(i / 2 ** bit) % 2 === 1) reversed += 2 ** (bits - 1 - bit);
    if (reversed < count) order.push(reversed);
  }
  return order;
}
