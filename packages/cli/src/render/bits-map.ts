/** @file The map of a plan: in each cell the bits of a code, from few (dark) to many (bright); beside it schemes and sizes. */
import { type MapCell, stripMap } from './strip-map.js';
import type { ReportedTensor } from './tensors.js';
import { displayWidth, Paint, type Terminal } from './terminal.js';
import { bytes, plural } from './units.js';

/** The colour scale's steps: up to so many bits. */
const levels = [1, 2, 3, 4, 5, 6, 8, 16, 64] as const;

/** Lines of the map, its heading first. */
export function bitsMap(tensors: readonly ReportedTensor[], terminal: Terminal): string[] {
  const content = {
    tensors: tensors.filter((tensor) => isWeight(tensor)),
    cell: bitsCell,
    note: (members: readonly ReportedTensor[], room: number) => schemeCounts(members, room, terminal),
    figures: sizeFigures,
    titles: ['size', 'b/w'] as const,
  };
  return stripMap(content, terminal);
}

/** What the map leaves out, in one line: norms and biases, and what the user fixed. */
export function keptLine(tensors: readonly ReportedTensor[], terminal: Terminal): string[] {
  const kept = tensors.filter((tensor) => !isWeight(tensor));
  const locked = tensors.filter((tensor) => tensor.locked);
  const size = kept.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const schemes = [...new Set(kept.map(({ scheme }) => scheme))].join(', ');
  const facts = [
    ...(kept.length === 0
      ? []
      : [`norms and biases: ${plural(kept.length, 'tensor')} in ${schemes}, ${bytes(size)}`]),
    ...(locked.length === 0 ? [] : [`locked (*): ${plural(locked.length, 'tensor')}`]),
  ];
  return facts.length === 0 ? [] : [new Paint(terminal).dim(`  ${facts.join('; ')}`)];
}

/** Norms and biases are kept exact and small: they would only blur the picture. */
function isWeight(tensor: ReportedTensor): boolean {
  return tensor.role !== 'norm' && !tensor.name.endsWith('.bias');
}

function bitsCell(tensors: readonly ReportedTensor[]): MapCell | null {
  const known = tensors.filter(({ bits }) => bits !== null);
  const weights = known.reduce((sum, tensor) => sum + tensor.weights, 0);
  if (weights === 0) return null;
  const bits = known.reduce((sum, tensor) => sum + (tensor.bits ?? 0) * tensor.weights, 0) / weights;
  const rounded = Math.round(bits);
  return {
    // One character: ten bits and more are all but exact.
    symbol: rounded > 9 ? 'x' : String(rounded),
    level: levels.findIndex((upTo) => bits <= upTo + 0.5),
    marked: tensors.some(({ locked }) => locked),
  };
}

function sizeFigures(tensors: readonly ReportedTensor[]): [string, string] {
  const size = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const weights = tensors.reduce((sum, tensor) => sum + tensor.weights, 0);
  return [bytes(size), weights > 0 ? ((size * 8) / weights).toFixed(2) : '-'];
}

/** `IQ3_S x6 Q4_K x2`, as far as there is room; one scheme for all stands without a count. */
function schemeCounts(tensors: readonly ReportedTensor[], room: number, terminal: Terminal): string {
  const counts = new Map<string, number>();
  for (const { scheme } of tensors) counts.set(scheme, (counts.get(scheme) ?? 0) + 1);
  const parts = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  const times = terminal.unicode ? '×' : 'x';
  let text = '';
  for (const [index, [scheme, amount]] of parts.entries()) {
    const part = parts.length === 1 ? scheme : `${scheme}${times}${amount}`;
    const more = parts.length - index - 1;
    const reserved = more > 0 ? ` +${more}`.length : 0;
    if (displayWidth(text) + displayWidth(part) + 1 + reserved > room) return `${text} +${more + 1}`.trim();
    text = text === '' ? part : `${text} ${part}`;
  }
  return text;
}
