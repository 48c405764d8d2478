/** @file Columns of text: as wide as their content, numbers to the right, the flexible column cut where the terminal ends. */
import { displayWidth, padEnd, padStart, Paint, type Terminal, truncateStart } from './terminal.js';

export interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
  /** The column that gives way when the table is too wide. */
  readonly flexible?: boolean;
}

const gap = 2;
const narrowest = 8;

/** Lines of a table, its heading first. Cells are unstyled text. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  terminal: Terminal,
): string[] {
  const paint = new Paint(terminal);
  const widths = columns.map(({ title }, index) => {
    return rows.reduce((widest, row) => Math.max(widest, displayWidth(row[index])), displayWidth(title));
  });
  const excess = widths.reduce((sum, width) => sum + width + gap, 0) - terminal.width;
  const flexible = columns.findIndex((column) => column.flexible === true);
  if (excess > 0 && flexible >= 0) widths[flexible] = Math.max(narrowest, widths[flexible] - excess);
  const mark = terminal.unicode ? '…' : '...';
  const line = (cells: readonly string[]): string => {
    const text = cells.map((cell, index) => {
      const fitted = truncateStart(cell, widths[index], mark);
      return columns[index].align === 'left'
        ? padEnd(fitted, widths[index])
        : padStart(fitted, widths[index]);
    });
    return `  ${text.join(' '.repeat(gap))}`.trimEnd();
  };
  return [paint.dim(line(columns.map(({ title }) => title))), ...rows.map((row) => line(row))];
}
