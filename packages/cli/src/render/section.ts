/** @file The heading of a report's section: its title, and beside it what its numbers are. */
import { displayWidth, Paint, type Terminal, truncate } from './terminal.js';

export function section(title: string, detail: string, terminal: Terminal): string {
  const paint = new Paint(terminal);
  const room = terminal.width - 2 - displayWidth(title);
  return `${paint.bold(paint.accent(title))}  ${paint.dim(truncate(detail, room, terminal.unicode ? '…' : '...'))}`;
}
