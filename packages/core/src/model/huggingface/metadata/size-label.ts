/** @file A model's size class in words (`8.4M`, `7B`), by llama.cpp's naming convention. */

const scales: readonly (readonly [above: number, unit: number, suffix: string])[] = [
  [1e12, 1e-12, 'T'],
  [1e9, 1e-9, 'B'],
  [1e6, 1e-6, 'M'],
];

/** Two significant digits where the number is small, none after the point from 10 on. */
export function sizeLabel(parameterCount: number): string {
  const [, unit, suffix] = scales.find(([above]) => parameterCount > above) ?? [0, 1e-3, 'K'];
  const scaled = parameterCount * unit;
  const whole = fixedHalfEven(scaled, 0).replace(/^0+/, '');
  return fixedHalfEven(scaled, Math.max(2 - whole.length, 0)) + suffix;
}

/** Decimal digits of the exact value of a double, ties to even; `toFixed` takes ties upwards. */
function fixedHalfEven(value: number, digits: number): string {
  const rounded = value.toFixed(digits);
  // 60 digits after the point write any double of this range exactly.
  const exact = value.toFixed(60);
  const point = exact.indexOf('.');
  const cut = point + 1 + digits;
  if (exact[cut] !== '5' || /[1-9]/.test(exact.slice(cut + 1))) return rounded;
  const floor = digits === 0 ? exact.slice(0, point) : exact.slice(0, cut);
  return Number(floor.at(-1)) % 2 === 0 ? floor : rounded;
}
