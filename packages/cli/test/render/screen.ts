/** @file A terminal in miniature: what stands on the screen after the escape sequences that the progress display writes. */

export class Screen {
  cursorHidden = false;
  private readonly rows: string[] = [''];
  private row = 0;
  private column = 0;

  write(text: string): void {
    // oxlint-disable-next-line no-control-regex
    for (const [piece] of text.matchAll(/\u001B\[\??[0-9;]*[A-Za-z]|[\r\n]|[^\u001B\r\n]+/g))
      this.apply(piece);
  }

  get lines(): string[] {
    return this.rows.map((line) => line.trimEnd());
  }

  private apply(piece: string): void {
    // oxlint-disable-next-line no-control-regex
    const control = /^\u001B\[(\??[0-9;]*)([A-Za-z])$/.exec(piece);
    if (piece === '\n') this.moveTo(this.row + 1, 0);
    else if (piece === '\r') this.column = 0;
    else if (control === null) this.put(piece);
    else this.control(control[1], control[2]);
  }

  private control(parameter: string, letter: string): void {
    if (letter === 'A') this.moveTo(this.row - Number(parameter), this.column);
    else if (letter === 'J') {
      this.rows.length = this.row + 1;
      this.rows[this.row] = this.rows[this.row].slice(0, this.column);
    } else if (parameter === '?25') this.cursorHidden = letter === 'l';
    else if (letter !== 'm') throw new Error(`unknown sequence ${parameter}${letter}`);
  }

  private moveTo(row: number, column: number): void {
    if (row < 0) throw new Error('moved above the screen');
    while (this.rows.length <= row) this.rows.push('');
    this.row = row;
    this.column = column;
  }

  private put(text: string): void {
    const line = this.rows[this.row].padEnd(this.column);
    this.rows[this.row] = line.slice(0, this.column) + text + line.slice(this.column + text.length);
    this.column += text.length;
  }
}
