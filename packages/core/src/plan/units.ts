/** @file Numbers as people read them in messages, plans and reasons. */

const decimalUnits = ['bytes', 'KB', 'MB', 'GB', 'TB', 'PB'] as const;

/** `36,864` */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US');
}

/** `36,864 bytes (36.9 KB)`: exact and readable. */
export function formatBytes(bytes: number): string {
  const exact = `${formatCount(bytes)} bytes`;
  if (bytes < 1000) return exact;
  const power = Math.min(Math.floor(Math.log10(bytes) / 3), decimalUnits.length - 1);
  return `${exact} (${(bytes / 1000 ** power).toPrecision(3)} ${decimalUnits[power]})`;
}

/** `0.000124`: two digits that count, never in powers of ten. */
export function formatNats(nats: number): string {
  if (nats === 0) return '0';
  const decimals = Math.max(0, Math.min(12, 1 - Math.floor(Math.log10(Math.abs(nats)))));
  return nats.toFixed(decimals);
}
