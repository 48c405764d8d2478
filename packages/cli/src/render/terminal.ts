/** @file What a terminal can show, and text measured in its columns rather than in characters. */

export interface Terminal {
  /** Columns; output stays within them. Infinite where the output is a file: names are cut for screens only. */
  readonly width: number;
  readonly color: boolean;
  /** False where only ASCII is safe. */
  readonly unicode: boolean;
}

interface OutputStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  getColorDepth?(): number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const minimumWidth = 40;

/** Follows NO_COLOR and FORCE_COLOR; a stream that is not a terminal gets no colour. */
export function terminalOf(stream: OutputStream, environment: Environment): Terminal {
  return {
    width: Math.max(
      minimumWidth,
      stream.columns ?? (Number(environment['COLUMNS']) || Number.POSITIVE_INFINITY),
    ),
    color: wantsColor(stream, environment),
    unicode: knowsUnicode(environment),
  };
}

function wantsColor(stream: OutputStream, environment: Environment): boolean {
  if (environment['NO_COLOR']) return false;
  const forced = environment['FORCE_COLOR'];
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  if (stream.isTTY !== true || environment['TERM'] === 'dumb') return false;
  return (stream.getColorDepth?.() ?? 1) >= 8;
}

/** Windows' own terminals are asked by what they set; elsewhere the locale says it. */
function knowsUnicode(environment: Environment): boolean {
  if (environment['TERM'] === 'linux' || environment['TERM'] === 'dumb') return false;
  if (process.platform === 'win32') {
    return environment['WT_SESSION'] !== undefined || environment['TERM_PROGRAM'] !== undefined;
  }
  const locale = environment['LC_ALL'] || environment['LC_CTYPE'] || environment['LANG'];
  return locale === undefined || /utf-?8/i.test(locale);
}

/** Styles for one terminal; without colour they return their text as it is. */
export class Paint {
  private readonly on: boolean;

  constructor(terminal: Terminal) {
    this.on = terminal.color;
  }

  bold(text: string): string {
    return this.wrap('1', '22', text);
  }

  dim(text: string): string {
    return this.wrap('2', '22', text);
  }

  /** A colour of the 256-colour table. */
  foreground(color: number, text: string): string {
    return this.wrap(`38;5;${color}`, '39', text);
  }

  /** Text on a coloured ground. */
  ground(ground: number, color: number, text: string): string {
    return this.wrap(`48;5;${ground};38;5;${color}`, '49;39', text);
  }

  good(text: string): string {
    return this.wrap('32', '39', text);
  }

  warning(text: string): string {
    return this.wrap('33', '39', text);
  }

  bad(text: string): string {
    return this.wrap('31', '39', text);
  }

  accent(text: string): string {
    return this.wrap('36', '39', text);
  }

  private wrap(open: string, close: string, text: string): string {
    return this.on && text !== '' ? `\u001B[${open}m${text}\u001B[${close}m` : text;
  }
}

// oxlint-disable-next-line no-control-regex
const escape = /(\u001B\[[0-9;]*m)/;
// oxlint-disable-next-line no-control-regex
const escapes = /\u001B\[[0-9;?]*[A-Za-z]/g;
const zeroWidth = /^[\p{Mn}\p{Me}\p{Cf}\u200B]$/u;
const doubleWidth =
  /^[\u1100-\u115F\u2E80-\u303E\u3041-\u33FF\u3400-\u4DBF\u4E00-\u9FFF\uA000-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{1F300}-\u{1FAFF}\u{20000}-\u{3FFFD}]$/u;

function columnsOf(character: string): number {
  if (zeroWidth.test(character)) return 0;
  return doubleWidth.test(character) ? 2 : 1;
}

/** Columns that a text takes, colours left out. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text.replace(escapes, '')) width += columnsOf(character);
  return width;
}

/** The beginning of an unstyled text that fits, with a mark where something is cut off. */
export function truncate(text: string, width: number, mark = '…'): string {
  if (displayWidth(text) <= width) return text;
  let kept = '';
  let used = displayWidth(mark);
  if (used > width) return '';
  for (const character of text) {
    used += columnsOf(character);
    if (used > width) break;
    kept += character;
  }
  return kept.trimEnd() + mark;
}

/** The beginning of a styled line that fits; styles stay balanced. */
export function fitLine(line: string, terminal: Terminal): string {
  if (displayWidth(line) <= terminal.width) return line;
  const mark = terminal.unicode ? '…' : '...';
  let room = terminal.width - mark.length;
  let fitted = '';
  for (const piece of line.split(escape)) {
    if (piece.startsWith('\u001B')) {
      fitted += piece;
      continue;
    }
    if (room <= 0) continue;
    const kept = truncate(piece, room, '');
    room = kept === piece ? room - displayWidth(piece) : 0;
    fitted += kept;
    if (room === 0) fitted += mark;
  }
  return fitted;
}

/** The end of an unstyled text that fits: what tells paths and long tensor names apart stands there. */
export function truncateStart(text: string, width: number, mark = '…'): string {
  if (displayWidth(text) <= width) return text;
  const characters = [...text];
  let used = displayWidth(mark);
  let first = characters.length;
  while (first > 0 && used + columnsOf(characters[first - 1]) <= width)
    used += columnsOf(characters[--first]);
  return mark + characters.slice(first).join('');
}

export function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)));
}

export function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - displayWidth(text))) + text;
}

/** One line of any text: breaks and tabs become spaces, control characters vanish, so that a model's words cannot steer the terminal. */
export function oneLine(text: string): string {
  return (
    text
      .replace(/\s+/g, ' ')
      // oxlint-disable-next-line no-control-regex
      .replace(/[\u0000-\u001F\u007F-\u009F]/g, '')
  );
}

/** Words of an unstyled text in lines of at most `width` columns. */
export function wrapWords(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    const candidate = line === '' ? word : `${line} ${word}`;
    if (displayWidth(candidate) <= width || line === '') line = candidate;
    else {
      lines.push(line);
      line = word;
    }
  }
  if (line !== '') lines.push(line);
  return lines;
}
