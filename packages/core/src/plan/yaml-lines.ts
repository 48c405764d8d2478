/** @file Where something stands in a YAML file, for messages that name the line. */
import { type Document, isMap, isNode, isScalar, isSeq, type LineCounter } from 'yaml';

export interface ParsedYaml {
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
}

/** The line of the deepest part of `path` that is there; 1 when none is. Parts are keys, and places in lists. */
export function lineOf({ document, lines }: ParsedYaml, path: readonly string[]): number {
  let offset = 0;
  let node: unknown = document.contents;
  for (const key of path) {
    const found: Line | undefined = linesOf(node).find(({ name }) => name === key);
    if (found === undefined) break;
    offset = found.offset;
    node = found.value;
  }
  return lines.linePos(offset).line;
}

export function tensorLines({ document, lines }: ParsedYaml): ReadonlyMap<string, number> {
  return new Map(
    linesOf(document.get('tensors')).map(({ name, offset }) => [name, lines.linePos(offset).line]),
  );
}

interface Line {
  readonly name: string;
  readonly offset: number;
  readonly value: unknown;
}

function linesOf(node: unknown): readonly Line[] {
  if (isSeq(node)) {
    return node.items.map((item, place) => ({
      name: String(place),
      offset: isNode(item) ? (item.range?.[0] ?? 0) : 0,
      value: item,
    }));
  }
  if (!isMap(node)) return [];
  return node.items.map(({ key, value }) => {
    const scalar = isScalar(key) ? key : null;
    return { name: String(scalar?.value), offset: scalar?.range?.[0] ?? 0, value };
  });
}
