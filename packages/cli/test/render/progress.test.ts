import type { RunEvent } from '@bitsmith/core';
import { describe, expect, it } from 'vitest';
import { ProgressRenderer } from '../../src/render/progress.js';
import { RateMeter } from '../../src/render/rate.js';
import { Screen } from './screen.js';

interface Setting {
  readonly live?: boolean;
  readonly width?: number;
  readonly unicode?: boolean;
  readonly verbosity?: 'quiet' | 'normal' | 'verbose';
}

function setUp(setting: Setting = {}) {
  const screen = new Screen();
  const clock = { now: 0 };
  const renderer = new ProgressRenderer(screen, {
    terminal: () => ({ width: setting.width ?? 80, color: false, unicode: setting.unicode ?? true }),
    live: setting.live ?? true,
    verbosity: setting.verbosity ?? 'normal',
    now: () => clock.now,
  });
  const at = (seconds: number, event: RunEvent): void => {
    clock.now = seconds * 1000;
    renderer.handle(event);
  };
  return { screen, renderer, at };
}

const start: RunEvent = { type: 'stage-start', stage: 'encode', label: 'encoding' };
const end: RunEvent = {
  type: 'stage-end',
  stage: 'encode',
  seconds: 12.4,
  cached: false,
  summary: '8.39 M weights',
};

function encoded(done: number): RunEvent {
  return {
    type: 'progress',
    stage: 'encode',
    done,
    total: 8_000_000,
    unit: 'weights',
    item: 'blk.3.ffn_down.weight',
  };
}

describe('progress on a terminal', () => {
  it('shows a bar, the amount, the rate and the time left, and then one kept line', () => {
    const { screen, renderer, at } = setUp();
    at(0, start);
    expect(screen.lines).toEqual(['⠋ Encode    encoding  0.0 s']);
    expect(screen.cursorHidden).toBe(true);
    at(0, encoded(0));
    at(2, encoded(2_000_000));
    expect(screen.lines).toEqual([
      '⠋ Encode    ━━━──────────  25 %  2.00 M of 8.00 M  1.00 M weights/s  6.0 s left',
    ]);
    at(12.4, end);
    expect(screen.lines).toEqual(['✓ Encode           12 s  8.39 M weights', '']);
    renderer.close();
    expect(screen.cursorHidden).toBe(false);
  });

  it('has room for the name of what is worked on', () => {
    const { screen, renderer, at } = setUp({ width: 120 });
    at(0, start);
    at(0, encoded(0));
    at(1, encoded(1_000_000));
    expect(screen.lines[0]).toMatch(/blk\.3\.ffn_down\.weight$/);
    renderer.close();
  });

  it.each([40, 50, 60, 80, 132])('stays within %i columns', (width) => {
    const { screen, renderer, at } = setUp({ width });
    at(0, start);
    for (let step = 0; step <= 8; step++) {
      at(step * 9, encoded(step * 1_000_000));
      expect(screen.lines[0].length).toBeLessThan(width);
      expect(screen.lines).toHaveLength(1);
    }
    renderer.close();
  });

  it('keeps one line for each of several running stages, below what is finished', () => {
    const { screen, renderer, at } = setUp();
    at(0, start);
    at(0, { type: 'stage-start', stage: 'download', label: 'Downloading acme/tiny' });
    at(1, { type: 'progress', stage: 'download', done: 5e6, total: 2e7, unit: 'bytes' });
    expect(screen.lines).toHaveLength(2);
    expect(screen.lines[1]).toContain('5.00 MB of 20.0 MB');
    at(2, { type: 'note', level: 'warning', message: 'the server is slow' });
    expect(screen.lines).toHaveLength(3);
    expect(screen.lines[0]).toBe('! the server is slow');
    at(3, end);
    expect(screen.lines.map((line) => line.slice(0, 10))).toEqual(['! the serv', '✓ Encode  ', '⠋ Download']);
    renderer.close();
    expect(screen.lines).toEqual(['! the server is slow', '✓ Encode           12 s  8.39 M weights', '', '']);
  });

  it('marks what was there already', () => {
    const { screen, renderer, at } = setUp({ unicode: false });
    at(0, start);
    at(0, { ...end, cached: true } as RunEvent);
    expect(screen.lines[0]).toBe('+ Encode           kept  8.39 M weights');
    renderer.close();
  });
});

describe('progress elsewhere', () => {
  it('is one plain line at the end of each stage', () => {
    const { screen, renderer, at } = setUp({ live: false });
    at(0, start);
    at(1, encoded(4_000_000));
    at(1, { type: 'note', level: 'info', message: 'not needed in a log' });
    expect(screen.lines).toEqual(['']);
    at(2, end);
    renderer.close();
    expect(screen.lines).toEqual(['✓ Encode           12 s  8.39 M weights', '']);
  });

  it('is nothing at all with --quiet, and notes with --verbose', () => {
    const quiet = setUp({ verbosity: 'quiet' });
    for (const event of [start, encoded(1), end]) quiet.at(1, event);
    quiet.at(2, { type: 'note', level: 'warning', message: 'x' });
    quiet.renderer.close();
    expect(quiet.screen.lines).toEqual(['']);
    const verbose = setUp({ live: false, verbosity: 'verbose' });
    verbose.at(0, { type: 'note', level: 'verbose', message: 'engine 4711 started' });
    expect(verbose.screen.lines[0]).toBe('  engine 4711 started');
    const normal = setUp();
    normal.at(0, { type: 'note', level: 'verbose', message: 'x' });
    expect(normal.screen.lines).toEqual(['']);
  });
});

describe('the rate', () => {
  it('follows the last seconds, not the whole run', () => {
    const meter = new RateMeter();
    for (let second = 0; second <= 60; second++)
      meter.add(second * 1000, second < 30 ? second : 30 + (second - 30) * 10);
    expect(meter.rate()).toBeCloseTo(10, 0);
  });

  it('counts down between two steps, and is never negative', () => {
    const meter = new RateMeter();
    meter.add(0, 0);
    meter.add(10_000, 1);
    expect(meter.secondsUntil(3, 10_000)).toBe(20);
    expect(meter.secondsUntil(3, 15_000)).toBe(15);
    expect(meter.secondsUntil(3, 99_000)).toBe(0);
  });

  it('is unknown at first, and again when work starts over', () => {
    const meter = new RateMeter();
    meter.add(0, 0);
    meter.add(100, 5);
    expect(meter.rate()).toBe(0);
    meter.add(5000, 50);
    expect(meter.rate()).toBe(10);
    meter.add(5001, 1);
    expect(meter.rate()).toBe(0);
  });
});
