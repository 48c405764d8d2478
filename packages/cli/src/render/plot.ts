/**
 * @file A curve and single points, both axes logarithmic: in Braille dots (two by four to a character), or with one character a
 * cell where only ASCII is safe. Labels stand beside their points where there is room.
 */
import { displayWidth, padEnd, padStart, Paint, type Terminal } from './terminal.js';

export interface PlotPoint {
  /** Above zero, as the logarithm needs. */
  readonly x: number;
  readonly y: number;
}

export interface PlotContent {
  /** Joined by lines; x ascending. */
  readonly curve: readonly PlotPoint[];
  readonly marks: readonly (PlotPoint & { readonly label: string })[];
  /** Values at which the axes are labelled; those outside the range are left out. */
  readonly ticks: { readonly x: readonly number[]; readonly y: readonly number[] };
  readonly format: { readonly x: (value: number) => string; readonly y: (value: number) => string };
}

const rows = 16;
const dotsAcross = 2;
const dotsDown = 4;
const braille = 0x28_00;
/** Bits of the dots of one Braille character, by row and column. */
const dotBits = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;

/** Lines of the plot with its axes, `terminal.width` columns at most. Nothing without points. */
export function plotLines(content: PlotContent, terminal: Terminal): string[] {
  const all = [...content.curve, ...content.marks];
  if (all.length === 0) return [];
  const scale = {
    x: logScale(all.map(({ x }) => x)),
    y: logScale(all.map(({ y }) => y)),
  };
  const paint = new Paint(terminal);
  const yTicks = tickRows(content, scale.y);
  const labelWidth = Math.max(...[...yTicks.values()].map((text) => displayWidth(text)), 0);
  const columns = Math.max(10, terminal.width - labelWidth - 4);
  const grid = new Grid(columns, terminal.unicode);
  drawCurve(content.curve, scale, grid);
  for (const mark of content.marks) grid.mark(scale.x(mark.x), scale.y(mark.y));
  for (const mark of content.marks) grid.label(scale.x(mark.x), scale.y(mark.y), mark.label);
  const [side, corner, bar] = terminal.unicode ? ['│', '└', '─'] : ['|', '+', '-'];
  const body = Array.from({ length: rows }, (_, row) => {
    const label = padStart(yTicks.get(row) ?? '', labelWidth);
    return `  ${paint.dim(`${label} ${side}`)}${grid.line(row, paint)}`.trimEnd();
  });
  const axis = `  ${' '.repeat(labelWidth)} ${corner}${bar.repeat(columns)}`;
  const below = `  ${' '.repeat(labelWidth + 2)}${tickLine(content, scale.x, columns)}`.trimEnd();
  return [...body, paint.dim(axis), paint.dim(below)];
}

/** Where a value lies between the least (0) and the largest (1). */
type Scale = (value: number) => number;

function logScale(values: readonly number[]): Scale {
  const least = Math.log(Math.min(...values));
  const most = Math.log(Math.max(...values));
  return (value) => (most > least ? (Math.log(value) - least) / (most - least) : 0.5);
}

function rowOf(share: number, count: number): number {
  return Math.min(count - 1, Math.max(0, Math.floor((1 - share) * count)));
}

function columnOf(share: number, count: number): number {
  return Math.min(count - 1, Math.max(0, Math.floor(share * count)));
}

function isInside(share: number): boolean {
  return share >= 0 && share <= 1;
}

function tickRows({ ticks, format }: PlotContent, scale: Scale): ReadonlyMap<number, string> {
  const inside = ticks.y.filter((value) => isInside(scale(value)));
  return new Map(inside.map((value) => [rowOf(scale(value), rows), format.y(value)]));
}

/** Labels of the horizontal axis under their columns, each where it does not touch the one before. */
function tickLine({ ticks, format }: PlotContent, scale: Scale, columns: number): string {
  let line = '';
  for (const value of ticks.x.filter((tick) => isInside(scale(tick)))) {
    const text = format.x(value);
    const start = Math.max(0, columnOf(scale(value), columns) - Math.floor(displayWidth(text) / 2));
    if (line !== '' && start < line.length + 2) continue;
    if (start + text.length <= columns) line = padEnd(line, start) + text;
  }
  return line;
}

function drawCurve(
  curve: readonly PlotPoint[],
  scale: { readonly x: Scale; readonly y: Scale },
  grid: Grid,
): void {
  for (const [index, point] of curve.entries()) {
    const from = curve[Math.max(0, index - 1)];
    const [x0, y0, x1, y1] = [scale.x(from.x), scale.y(from.y), scale.x(point.x), scale.y(point.y)];
    const steps = grid.stepsBetween(x1 - x0, y1 - y0);
    for (let step = 0; step <= steps; step++) {
      const share = steps === 0 ? 1 : step / steps;
      grid.dot(x0 + share * (x1 - x0), y0 + share * (y1 - y0));
    }
  }
}

/** Dots, marks and labels of a plot. Places are shares of its width and height. */
class Grid {
  private readonly columns: number;
  private readonly unicode: boolean;
  private readonly dots: Uint8Array;
  private readonly text = new Map<number, { readonly character: string; readonly isMark: boolean }>();

  constructor(columns: number, unicode: boolean) {
    this.columns = columns;
    this.unicode = unicode;
    this.dots = new Uint8Array(columns * rows);
  }

  stepsBetween(across: number, up: number): number {
    return Math.ceil(Math.max(Math.abs(across) * this.columns * dotsAcross, Math.abs(up) * rows * dotsDown));
  }

  dot(x: number, y: number): void {
    const column = columnOf(x, this.columns * dotsAcross);
    const row = rowOf(y, rows * dotsDown);
    const cell = Math.floor(row / dotsDown) * this.columns + Math.floor(column / dotsAcross);
    this.dots[cell] |= dotBits[row % dotsDown][column % dotsAcross];
  }

  mark(x: number, y: number): void {
    const cell = rowOf(y, rows) * this.columns + columnOf(x, this.columns);
    this.text.set(cell, { character: this.unicode ? '●' : 'o', isMark: true });
  }

  /** Right or left of a point, where nothing else stands; else nowhere. */
  label(x: number, y: number, label: string): void {
    const column = columnOf(x, this.columns);
    const row = rowOf(y, rows);
    const start = [column + 2, column - 1 - label.length].find((place) =>
      this.isFree(row, place, label.length, column),
    );
    if (start === undefined) return;
    for (const [index, character] of [...label].entries()) {
      this.text.set(row * this.columns + start + index, { character, isMark: false });
    }
  }

  private isFree(row: number, start: number, length: number, own: number): boolean {
    if (start < 0 || start + length > this.columns) return false;
    for (
      let column = Math.max(0, start - 1);
      column <= Math.min(this.columns - 1, start + length);
      column++
    ) {
      const cell = row * this.columns + column;
      if (column !== own && (this.dots[cell] !== 0 || this.text.has(cell))) return false;
    }
    return true;
  }

  line(row: number, paint: Paint): string {
    return Array.from({ length: this.columns }, (_, column) => {
      const cell = row * this.columns + column;
      const text = this.text.get(cell);
      if (text !== undefined) return text.isMark ? paint.warning(text.character) : paint.dim(text.character);
      if (this.dots[cell] === 0) return ' ';
      return paint.accent(this.unicode ? String.fromCodePoint(braille + this.dots[cell]) : '.');
    }).join('');
  }
}
