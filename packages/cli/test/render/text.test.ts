import { BitsmithError } from '@bitsmith/formats';
import { describe, expect, it } from 'vitest';
import { renderError } from '../../src/render/error.js';
import {
  displayWidth,
  fitLine,
  oneLine,
  Paint,
  terminalOf,
  truncate,
  truncateStart,
  wrapWords,
} from '../../src/render/terminal.js';
import { bytes, count, duration, exactBytes, nats, significant, withError } from '../../src/render/units.js';

const terminal = { width: 60, color: false, unicode: true };

describe('units', () => {
  it.each([
    [0, '0 bytes'],
    [1, '1 byte'],
    [999, '999 bytes'],
    [1000, '1.00 kB'],
    [4_486_464, '4.49 MB'],
    [999_600, '1.00 MB'],
    [123_456_789, '123 MB'],
    [1_234_567_890, '1.23 GB'],
  ])('%i bytes are %s', (value, text) => expect(bytes(value)).toBe(text));

  it.each([
    [4096, '4,096'],
    [8_393_984, '8.39 M'],
    [999_900_000, '1.00 B'],
    [1_235_814_400, '1.24 B'],
  ])('%i weights are %s', (value, text) => expect(count(value)).toBe(text));

  it.each([
    [0.04, '0.0 s'],
    [9.94, '9.9 s'],
    [9.96, '10 s'],
    [59.6, '1 min 00 s'],
    [200, '3 min 20 s'],
    [3900, '1 h 05 min'],
  ])('%f seconds are %s', (value, text) => expect(duration(value)).toBe(text));

  it.each([
    [0.0132411, '0.0132'],
    [0.0000187, '0.0000187'],
    [1.3456, '1.35'],
    [0, '0'],
    [-1e-12, '0'],
  ])('%f nats are %s', (value, text) => expect(nats(value)).toBe(text));

  it('keep the digits that an error leaves meaningful', () => {
    expect(withError(45.7021, 1.3612, '±')).toBe('45.7 ± 1.4');
    expect(withError(0.013241, 0.000183, '±')).toBe('0.01324 ± 0.00018');
    expect(withError(123.4, 25.1, '±')).toBe('123 ± 25');
    expect(withError(5, 0, '±')).toBe('5.000');
    expect(significant(1234.5, 3)).toBe('1235');
    expect(exactBytes(4_486_464)).toBe('4,486,464 bytes');
  });
});

describe('text on a terminal', () => {
  it('is measured in columns', () => {
    expect(displayWidth('abc')).toBe(3);
    expect(displayWidth('日本')).toBe(4);
    expect(displayWidth('e\u0301')).toBe(1);
    expect(displayWidth('\u001B[1mab\u001B[22m')).toBe(2);
  });

  it('is cut where it must be', () => {
    expect(truncate('abcdef', 6)).toBe('abcdef');
    expect(truncate('abcdef', 4)).toBe('abc…');
    expect(truncate('日本語', 4)).toBe('日…');
    expect(truncate('abc', 0)).toBe('');
    expect(truncateStart('models/orator.gguf', 8)).toBe('…or.gguf');
    const styled = new Paint({ ...terminal, color: true }).bold('abcdef');
    expect(fitLine(styled, { ...terminal, width: 4 })).toBe('\u001B[1mabc…\u001B[22m');
    expect(wrapWords('a bb ccc dddd', 6)).toEqual(['a bb', 'ccc', 'dddd']);
    expect(oneLine('a\n\tb\u001B[2J\u0007')).toBe('a b[2J');
  });

  it('has colour where it is wanted', () => {
    const stream = { isTTY: true, columns: 80, getColorDepth: () => 24 };
    expect(terminalOf(stream, { LANG: 'C.UTF-8' })).toEqual({ width: 80, color: true, unicode: true });
    expect(terminalOf(stream, { NO_COLOR: '1' }).color).toBe(false);
    expect(terminalOf(stream, { TERM: 'dumb' }).color).toBe(false);
    expect(terminalOf({}, {})).toMatchObject({ color: false, width: Number.POSITIVE_INFINITY });
    expect(terminalOf({}, { COLUMNS: '72' }).width).toBe(72);
    expect(terminalOf({}, { FORCE_COLOR: '1' }).color).toBe(true);
    expect(terminalOf({ isTTY: true, columns: 10, getColorDepth: () => 1 }, {}).width).toBe(40);
  });

  it.runIf(process.platform !== 'win32')('is ASCII where the locale is', () => {
    expect(terminalOf({}, { LANG: 'C' }).unicode).toBe(false);
    expect(terminalOf({}, { LC_ALL: 'en_US.UTF-8', LANG: 'C' }).unicode).toBe(true);
  });
});

describe('an error', () => {
  it('says what was expected, what was found and what to do, in the width there is', () => {
    const error = new BitsmithError(
      'validation',
      'HASH',
      'the file does not have the content that was promised by its list',
      {
        expected: 'SHA-256 aa',
        found: 'bb',
        suggestion: 'Fetch it again.',
      },
    );
    expect(renderError(error, terminal, false)).toBe(
      [
        'Error: the file does not have the content that was promised',
        '       by its list',
        '  expected  SHA-256 aa',
        '  found     bb',
        '  Fetch it again.',
        '  HASH, exit code 6',
        '',
      ].join('\n'),
    );
  });

  it('that nobody foresaw asks for a report, with its causes when they are wanted', () => {
    const error = new Error('outer', { cause: new Error('inner') });
    expect(renderError(error, terminal, false)).toContain('please report it');
    expect(renderError(error, terminal, true)).toMatch(/caused by Error: inner/);
  });
});
