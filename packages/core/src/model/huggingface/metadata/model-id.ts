/**
 * @file Takes a model's name apart (`org/Base-7B-Instruct-v0.3`) by the conventions of names on the hub: which part is the base
 * name, which the size, the finetune and the version. The heuristics of gguf-py's `metadata.py` as of llama.cpp v0.4.0.
 */

export interface ModelIdParts {
  readonly name?: string;
  readonly organization?: string;
  readonly basename?: string;
  readonly finetune?: string;
  readonly version?: string;
  readonly sizeLabel?: string;
}

type PartKind = 'basename' | 'size' | 'finetune' | 'version' | 'type';

interface NamePart {
  text: string;
  readonly kinds: Set<PartKind>;
}

const VERSION = /^(v|iter)?\p{Nd}+([.]\p{Nd}+)*$/iu;
const QUANT_TYPE = /^(i?q\p{Nd}(_[\p{L}\p{N}_])*|b?fp?(16|32))$/iu;
const SIZE = /^((A|\p{Nd}+x)?\p{Nd}+([._]\p{Nd}+)?[KMBT]\p{Nd}?|small|mini|medium|large|x?xl)$/iu;
const FINETUNE = /^(chat|instruct|vision|lora)$/i;

/** `parameterCount` tells a size from a context length: a size label must be near it. */
export function modelIdParts(id: string, parameterCount: number): ModelIdParts {
  // A name with spaces is a sentence, not an id.
  if (id.includes(' ')) return { name: id };
  const slash = id.indexOf('/');
  const organization = slash < 0 ? undefined : id.slice(0, slash);
  const name = id.slice(slash + 1);
  const parts = name
    .split('-')
    .filter((text) => text.length > 0)
    .map((text): NamePart => ({ text, kinds: new Set() }));
  parts.forEach((part, index) => annotate(part, index, parameterCount));
  dropWordSizes(parts);
  markBasename(parts);
  return {
    name,
    organization: organization?.startsWith('.') === true ? undefined : organization,
    ...assembled(parts),
  };
}

function annotate(part: NamePart, index: number, parameterCount: number): void {
  if (VERSION.test(part.text)) {
    part.kinds.add('version');
  } else if (QUANT_TYPE.test(part.text)) {
    part.kinds.add('type');
    part.text = part.text.toUpperCase();
  } else if (index > 0 && SIZE.test(part.text)) {
    annotateSize(part, parameterCount);
  } else if (index > 0 && FINETUNE.test(part.text)) {
    part.kinds.add('finetune');
  }
}

function annotateSize(part: NamePart, parameterCount: number): void {
  let text = part.text.replaceAll('_', '.');
  // `7b1` is 7.1B.
  if (isDecimal(text.at(-1))) text = `${text.slice(0, -2)}.${text.at(-1)}${text.at(-2)}`;
  if (text.length > 1 && isDecimal(text.at(-2)) && 'kmbt'.includes(text.at(-1)!)) {
    text = text.slice(0, -1) + text.at(-1)!.toUpperCase();
  }
  const digits = text.slice(0, -1);
  if (parameterCount !== 0 && /^(\d+\.?\d*|\.\d+)$/.test(digits)) {
    const labelled = Number(digits) * 1000 ** ' KMBT'.indexOf(text.at(-1)!);
    if (Math.abs(labelled - parameterCount) > Math.floor((7 * parameterCount) / 8)) {
      // Too far from the true size: likely a context length.
      part.kinds.add('finetune');
      text = text.slice(0, -1) + text.at(-1)!.toLowerCase();
    }
  }
  if (part.kinds.size === 0) part.kinds.add('size');
  part.text = text;
}

/** Sizes in words count only where no size in numbers is given. */
function dropWordSizes(parts: readonly NamePart[]): void {
  const sizes = parts.filter((part) => part.kinds.has('size'));
  if (!sizes.some((part) => /\p{Nd}/u.test(part.text))) return;
  for (const part of sizes) if (/^\p{L}+$/u.test(part.text)) part.kinds.delete('size');
}

function markBasename(parts: readonly NamePart[]): void {
  let atStart = true;
  for (const { text, kinds } of parts) {
    if (atStart && ((kinds.size === 0 && /^\p{L}/u.test(text)) || kinds.has('version'))) {
      kinds.add('basename');
    } else {
      atStart = false;
      if (kinds.size === 0) kinds.add('finetune');
    }
  }
  // A version at the end is the version, not part of the base name.
  for (const { kinds } of parts.toReversed()) {
    if (!kinds.has('basename') || kinds.size === 1) break;
    kinds.delete('basename');
  }
}

function assembled(parts: readonly NamePart[]): ModelIdParts {
  const joined = (keep: (part: NamePart) => boolean): string | undefined => {
    const texts = parts.filter(keep).map((part) => part.text);
    return texts.length === 0 ? undefined : texts.join('-');
  };
  const sizes = new Set(parts.filter((part) => part.kinds.has('size')).map((part) => part.text));
  const sizeLabel = sizes.size === 0 ? undefined : [...sizes].join('-');
  const finetune = joined((part) => part.kinds.has('finetune'));
  const version = joined((part) => part.kinds.has('version') && !part.kinds.has('basename'));
  // A name with none of the three is too ambiguous to take a base name from.
  const ambiguous = sizeLabel === undefined && finetune === undefined && version === undefined;
  return {
    basename: ambiguous ? undefined : joined((part) => part.kinds.has('basename')),
    finetune,
    version,
    sizeLabel,
  };
}

function isDecimal(character: string | undefined): boolean {
  return character !== undefined && /^\p{Nd}$/u.test(character);
}

/** `llama-3-8b-instruct` as a title: words in small letters get a capital, versions and numbers stay as they are. */
export function idToTitle(id: string): string {
  return id
    .replaceAll('-', ' ')
    .split(/\s+/u)
    .filter((word) => word.length > 0)
    .map((word) =>
      isLowercase(word) && !/^(v\p{Nd}+(?:\.\p{Nd}+)*|\p{Nd}.*)$/u.test(word) ? titled(word) : word,
    )
    .join(' ');
}

function isLowercase(word: string): boolean {
  return /\p{Lowercase}/u.test(word) && !/[\p{Uppercase}\p{Lt}]/u.test(word);
}

/** A capital at every letter that no letter comes before. */
function titled(word: string): string {
  let afterLetter = false;
  let title = '';
  for (const character of word) {
    const cased = /[\p{Lowercase}\p{Uppercase}\p{Lt}]/u.test(character);
    title += cased && !afterLetter ? character.toUpperCase() : character;
    afterLetter = cased;
  }
  return title;
}
