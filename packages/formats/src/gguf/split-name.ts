/** @file Names of split GGUF files: `PREFIX-00001-of-00004.gguf`, as llama.cpp builds and expects them. */

export interface SplitName {
  /** Everything before the numbers, folder included. */
  readonly prefix: string;
  /** From 0. */
  readonly index: number;
  readonly count: number;
}

const pattern = /^(?<prefix>.+)-(?<number>\d{5})-of-(?<count>\d{5})\.gguf$/s;

/** The parts of a split file's name, or `undefined` for any other name. */
export function parseSplitName(name: string): SplitName | undefined {
  const groups = pattern.exec(name)?.groups;
  if (groups === undefined) return undefined;
  const index = Number(groups.number) - 1;
  const count = Number(groups.count);
  return index >= 0 && index < count ? { prefix: groups.prefix, index, count } : undefined;
}

export function splitName(prefix: string, index: number, count: number): string {
  return `${prefix}-${fiveDigits(index + 1)}-of-${fiveDigits(count)}.gguf`;
}

function fiveDigits(value: number): string {
  return String(value).padStart(5, '0');
}
