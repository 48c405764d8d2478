/**
 * @file A map of a model: a row for each role, a column for each block, one symbol a cell on a colour of its own. Where a
 * model has more blocks than the terminal columns, neighbours share one.
 */
import type { TensorRole } from '@bitsmith/core';
import { roleOrder } from './tensors.js';
import { padEnd, padStart, Paint, type Terminal } from './terminal.js';

export interface MapTensor {
  readonly role: TensorRole;
  readonly block: number | null;
}

export interface MapCell {
  /** One character. */
  readonly symbol: string;
  /** Step on the colour scale, 0 (dark) to 8 (bright). */
  readonly level: number;
  /** Sets an asterisk beside the symbol, where cells are wide enough. */
  readonly marked?: boolean;
}

export interface MapContent<Tensor extends MapTensor> {
  readonly tensors: readonly Tensor[];
  /** The cell of the tensors of one role in one column; null leaves it blank. */
  readonly cell: (tensors: readonly Tensor[]) => MapCell | null;
  /** What stands beside the strip, in at most `room` columns. */
  readonly note: (tensors: readonly Tensor[], room: number) => string;
  /** Two figures at the right, with their titles. */
  readonly figures: (tensors: readonly Tensor[]) => readonly [string, string];
  readonly titles: readonly [string, string];
}

const labelWidth = 17;
const figureWidths = [9, 7] as const;
const noteWidth = 14;
const widestCell = 3;

/** Ground and text colours from the 256-colour table, dark to bright. */
const scale: readonly (readonly [ground: number, text: number])[] = [
  [53, 255],
  [55, 255],
  [24, 255],
  [30, 255],
  [35, 16],
  [77, 16],
  [149, 16],
  [229, 16],
  [252, 16],
];

interface Columns {
  readonly count: number;
  readonly blocksEach: number;
  readonly cellWidth: number;
}

/** Lines of the map, its heading first; `terminal.width` columns at most. */
export function stripMap<Tensor extends MapTensor>(
  content: MapContent<Tensor>,
  terminal: Terminal,
): string[] {
  const paint = new Paint(terminal);
  const blocks = 1 + content.tensors.reduce((largest, { block }) => Math.max(largest, block ?? -1), -1);
  const room = terminal.width - 2 - labelWidth - figureWidths[0] - figureWidths[1];
  const columns = layoutColumns(blocks, room);
  const spare = room - columns.count * columns.cellWidth;
  const groups = roleOrder.flatMap((role) =>
    groupsOf(content.tensors.filter((tensor) => tensor.role === role)),
  );
  return [
    paint.dim(heading(columns, blocks, spare, content.titles)),
    ...groups.map((tensors) => mapLine(tensors, content, columns, spare, paint)),
  ];
}

/** Tensors of one role inside the blocks and outside of them have a line each. */
function groupsOf<Tensor extends MapTensor>(tensors: readonly Tensor[]): (readonly Tensor[])[] {
  const inside = tensors.filter(({ block }) => block !== null);
  const outside = tensors.filter(({ block }) => block === null);
  return [inside, outside].filter((group) => group.length > 0);
}

function layoutColumns(blocks: number, room: number): Columns {
  if (blocks === 0) return { count: 1, blocksEach: 1, cellWidth: widestCell };
  const besideNotes = room - noteWidth - 2;
  // Every block its own column matters more than the notes.
  const available = Math.max(4, blocks <= besideNotes ? besideNotes : room - 1);
  const blocksEach = Math.ceil(blocks / available);
  const count = Math.ceil(blocks / blocksEach);
  return { count, blocksEach, cellWidth: Math.max(1, Math.min(widestCell, Math.floor(available / count))) };
}

/** Numbers of the first and the last block stand above their columns. */
function heading(columns: Columns, blocks: number, spare: number, titles: readonly [string, string]): string {
  const { count, cellWidth, blocksEach } = columns;
  const width = count * cellWidth;
  const first = `${' '.repeat(Math.floor((cellWidth - 1) / 2))}0`;
  const end = cellWidth === widestCell ? width - 1 : width;
  const axis =
    blocks > 1 ? first + padStart(String(blocks - 1), end - first.length) : blocks === 1 ? first : '';
  const label = blocks === 0 ? '' : blocksEach > 1 ? `${blocksEach} blocks each` : 'block';
  const left = `${padStart(label, 1 + labelWidth)} ${padEnd(axis, width + spare)}`;
  return left + padStart(titles[0], figureWidths[0]) + padStart(titles[1], figureWidths[1]);
}

function mapLine<Tensor extends MapTensor>(
  tensors: readonly Tensor[],
  content: MapContent<Tensor>,
  columns: Columns,
  spare: number,
  paint: Paint,
): string {
  const inside = tensors[0].block !== null;
  const cells = Array.from({ length: inside ? columns.count : 1 }, (_, index) => {
    const members = inside
      ? tensors.filter(({ block }) => Math.floor((block ?? 0) / columns.blocksEach) === index)
      : tensors;
    return members.length === 0 ? null : content.cell(members);
  });
  const strip = cells.map((cell) => drawCell(cell, columns.cellWidth, paint)).join('');
  const blank = ' '.repeat((columns.count - cells.length) * columns.cellWidth);
  const note = spare >= 8 ? content.note(tensors, spare - 2) : '';
  const [first, second] = content.figures(tensors);
  return (
    `  ${padEnd(tensors[0].role, labelWidth)}${strip}${blank}` +
    padEnd(note === '' ? '' : `  ${paint.dim(note)}`, spare) +
    padStart(first, figureWidths[0]) +
    padStart(second, figureWidths[1])
  );
}

function drawCell(cell: MapCell | null, width: number, paint: Paint): string {
  if (cell === null) return ' '.repeat(width);
  const left = Math.floor((width - 1) / 2);
  const right = width - 1 - left;
  const text =
    ' '.repeat(left) +
    cell.symbol +
    (cell.marked === true ? '*' : ' ').repeat(Math.min(1, right)) +
    ' '.repeat(Math.max(0, right - 1));
  const [ground, color] = scale[Math.max(0, Math.min(scale.length - 1, cell.level))];
  return paint.ground(ground, color, text);
}
