/** @file Values of a file in an error message: short, and without walking into what a hostile file nests. */

const MAX_LENGTH = 160;

/** Text in quotes, escaped, cut where it is long. */
export function quote(text: string): string {
  const quoted = JSON.stringify(text.slice(0, MAX_LENGTH));
  return text.length > MAX_LENGTH ? `${quoted} (cut from ${text.length} characters)` : quoted;
}

/** A parsed JSON value: plain values and short lists of them as they are, anything else by its kind. */
export function describeJson(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'string') return quote(value);
  if (Array.isArray(value)) {
    const plain = value.length <= 8 && value.every((item) => typeof item !== 'object' || item === null);
    return plain ? `[${value.map(describeJson).join(',')}]` : `a list of ${value.length}`;
  }
  return typeof value === 'object' && value !== null ? 'an object' : String(value);
}
