/** @file Numbers as people read them, always with their unit. Sizes are decimal: 1 MB is 1,000,000 bytes. */

const exact = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

/** 4486464 -> `4,486,464`. */
export function integer(value: number): string {
  return exact.format(value);
}

/** 4486464 -> `4,486,464 bytes`. */
export function exactBytes(bytes: number): string {
  return `${integer(bytes)} ${bytes === 1 ? 'byte' : 'bytes'}`;
}

const byteUnits = ['bytes', 'kB', 'MB', 'GB', 'TB'] as const;

/** 4486464 -> `4.49 MB`: three digits. */
export function bytes(value: number): string {
  let unit = 0;
  let scaled = value;
  while (scaled >= 999.5 && unit < byteUnits.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return unit === 0 ? exactBytes(value) : `${threeDigits(scaled)} ${byteUnits[unit]}`;
}

/** 8388608 -> `8.39 M`. */
export function count(value: number): string {
  for (const [size, unit] of [
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
  ] as const) {
    if (value >= size * 0.9995) return `${threeDigits(value / size)} ${unit}`;
  }
  return integer(value);
}

function threeDigits(value: number): string {
  if (value >= 99.95) return value.toFixed(0);
  return value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

/** Seconds as `0.4 s`, `12 s`, `3 min 20 s`, `1 h 05 min`. */
export function duration(seconds: number): string {
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
}

/** A KL divergence in nats: three significant digits, never in powers of ten. */
export function nats(value: number): string {
  return significant(value, 3);
}

/** `digits` significant digits without an exponent; what is smaller than a billionth is 0. */
export function significant(value: number, digits: number): string {
  const size = Math.abs(value);
  if (size < 1e-9) return '0';
  const decimals = Math.min(12, Math.max(0, digits - 1 - Math.floor(Math.log10(size))));
  return value.toFixed(decimals);
}

/** A mean and its standard error, both with the digits that the error leaves meaningful. */
export function withError(value: number, standardError: number, plusMinus: string): string {
  if (!(standardError > 0)) return significant(value, 4);
  const decimals = Math.min(9, Math.max(0, 1 - Math.floor(Math.log10(standardError))));
  return `${value.toFixed(decimals)} ${plusMinus} ${standardError.toFixed(decimals)}`;
}

/** A fraction as percent: 0.9321 -> `93.2 %`. */
export function percent(fraction: number, decimals = 1): string {
  return `${(fraction * 100).toFixed(decimals)} %`;
}

export function plural(amount: number, one: string, many = `${one}s`): string {
  return `${integer(amount)} ${amount === 1 ? one : many}`;
}
