import type { ParetoResult } from '@bitsmith/core';
import { describe, expect, it } from 'vitest';
import { renderPareto } from '../../src/render/pareto.js';
import { plotLines } from '../../src/render/plot.js';
import { displayWidth } from '../../src/render/terminal.js';

const parameterCount = 8_392_960;
const headerBytes = 200_000;
const bytesAt = (bits: number): number => headerBytes + Math.floor((bits * parameterCount) / 8);
const lossAt = (bits: number): number => 6.2 * 4 ** -bits * (1 + 4 ** (2 - bits));

function pointAt(bitsPerWeight: number, lossFactor = 1) {
  const priceSum = lossAt(bitsPerWeight) * lossFactor;
  const klNats = priceSum * (0.94 + 0.8 * priceSum);
  return {
    bytes: bytesAt(bitsPerWeight),
    bitsPerWeight,
    priceSum,
    bodySum: 0.8 * priceSum,
    klNats,
    low: klNats * 0.93,
    high: klNats * 1.08,
  };
}

const solvedAt = (bits: number) => ({ ...pointAt(bits), lowerBound: lossAt(bits), gap: 0 });

function presetAt(name: string, bits: number, lossFactor: number | null) {
  const point = lossFactor === null ? null : pointAt(bits, lossFactor);
  return {
    name,
    bytes: bytesAt(bits),
    bitsPerWeight: bits,
    priceSum: point?.priceSum ?? null,
    klNats: point?.klNats ?? null,
    plan: solvedAt(bits),
  };
}

const example: ParetoResult = {
  status: 'success',
  model: {
    location: 'models/orator-8m',
    name: 'Orator 8M',
    architecture: 'llama',
    sha256: 'a3'.repeat(32),
    parameterCount,
    byteLength: 17_012_000,
  },
  text: { name: 'bundled search text', sha256: 'd2'.repeat(32), tokens: 4096 },
  seed: 1,
  fit: {
    a: 0.94,
    b: 0.8,
    relativeError: 0.031,
    plans: 6,
    range: [0.004, 0.31],
    mostBodySum: 0.25,
    measured: [],
  },
  points: [1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 8].map(solvedAt),
  curve: Array.from({ length: 200 }, (_, index) => pointAt(1.8 + index * 0.05)),
  presets: [
    presetAt('IQ2_XS', 2.7, 1.2),
    presetAt('Q2_K', 3.2, 2.1),
    presetAt('Q3_K_M', 4, 1.5),
    presetAt('Q3_K_L', 4.2, null),
    presetAt('Q4_K_M', 4.9, 1.3),
    presetAt('Q6_K', 6.6, 1.05),
  ],
};

const plain = { color: false, unicode: true } as const;

describe('the curve of size and loss', () => {
  it.each([60, 80, 100])('is drawn at %i columns', (width) => {
    expect(renderPareto(example, { ...plain, width })).toMatchSnapshot();
  });

  it('is drawn in ASCII where nothing else is safe', () => {
    const text = renderPareto(example, { width: 80, color: false, unicode: false });
    expect(text).toMatchSnapshot();
    // oxlint-disable-next-line no-control-regex
    expect(text).toMatch(/^[\n\u0020-\u007E]*$/);
  });

  it('does without a fit, presets and a loss', () => {
    const lossless = { ...solvedAt(8), priceSum: 0, klNats: 0, low: null, high: null, lowerBound: 0 };
    const bare = { ...example, fit: null, presets: [], points: [lossless], curve: [lossless] };
    expect(renderPareto(bare, { ...plain, width: 80 })).toMatchSnapshot();
  });

  it.each([40, 50, 60, 72, 80, 100, 120, 200])('never passes %i columns, with colour or without', (width) => {
    for (const color of [false, true]) {
      for (const line of renderPareto(example, { width, color, unicode: true }).split('\n')) {
        expect(displayWidth(line)).toBeLessThanOrEqual(width);
      }
    }
  });

  it('says how to get a point', () => {
    expect(renderPareto(example, { ...plain, width: 80 })).toContain(
      `bitsmith plan models/orator-8m --size ${bytesAt(4)}\n`,
    );
  });
});

describe('a plot', () => {
  const straight = {
    curve: [
      { x: 1, y: 1000 },
      { x: 1000, y: 1 },
    ],
    marks: [],
    ticks: { x: [1, 10, 100, 1000], y: [1, 10, 100, 1000] },
    format: { x: String, y: String },
  };

  it('draws powers as a straight line, in both modes', () => {
    const lines = plotLines(straight, { width: 40, color: false, unicode: false });
    const body = lines.slice(0, 16).map((line) => line.slice(line.indexOf('|') + 1));
    for (const [row, line] of body.entries()) {
      const middle = (line.indexOf('.') + line.lastIndexOf('.')) / 2;
      expect(Math.abs(middle - (row + 0.5) * 2)).toBeLessThanOrEqual(1.5);
    }
    expect(lines[0]).toMatch(/^ {2}1000 \|\./);
    expect(lines[15]).toMatch(/^ {5}1 \|/);
    expect(plotLines(straight, { ...plain, width: 40 })[0]).toMatch(/│[\u2801-\u28FF]/);
  });

  it('leaves labels out where they would cover something', () => {
    const marks = [5, 5.1, 5.2].map((x, index) => ({ x, y: 300, label: `name-${index}` }));
    const text = plotLines({ ...straight, marks }, { ...plain, width: 60 }).join('\n');
    expect(text.match(/name-\d/g)?.length).toBe(1);
    expect(plotLines({ ...straight, curve: [], marks: [] }, { ...plain, width: 60 })).toEqual([]);
  });
});
