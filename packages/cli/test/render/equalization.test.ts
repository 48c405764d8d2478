import type { EqualizationReport } from '@bitsmith/core';
import { expect, test } from 'vitest';
import { equalizationLines } from '../../src/render/equalization.js';
import type { Terminal } from '../../src/render/terminal.js';

const plain: Terminal = { width: 100, color: false, unicode: false };
type Site = EqualizationReport['sites'][number];

const site = (kind: Site['kind'], block: number, more: Partial<Site> = {}): Site => ({
  kind,
  block,
  readers: [],
  rule: { family: 'smooth', alpha: 0.5 },
  outliers: { before: 3 + block, after: 2 },
  error: null,
  ...more,
});

const report = (mode: EqualizationReport['mode'], sites: readonly Site[]): EqualizationReport => ({
  mode,
  text: { name: 'a text', sha256: '', tokens: 512 },
  sites,
});

test('shows the input of each kind that stood out most', () => {
  const kinds = ['attention-input', 'attention-output', 'mlp-input', 'mlp-down'] as const;
  const sites = kinds.flatMap((kind) => [site(kind, 0), site(kind, 1)]);
  const [head, columns, ...rows] = equalizationLines(report({ kind: 'alpha', alpha: 0.5 }, sites), plain);
  expect(head).toBe('Channels made alike  as given, on 512 tokens of a text; the function is the same');
  expect(columns.trim().split(/ {2,}/)).toEqual([
    'input of',
    'largest / median channel',
    'now',
    'output error',
    'alpha',
  ]);
  expect(rows.map((row) => row.trim().split(/ {2,}/))).toEqual([
    ['queries, keys, values', '4.0', '2.0', '0.5'],
    ['attention output', '4.0', '2.0', '0.5'],
    ['gate, up', '4.0', '2.0', '0.5'],
    ['down', '4.0', '2.0', '0.5'],
  ]);
});

test('says what a search chose, and by how much errors fell', () => {
  const mode = { kind: 'search', rounding: { scheme: 'affine4-g128', activations: false } } as const;
  const error = { before: 0.02, after: 0.015 };
  const sites = [
    site('mlp-down', 0, { error }),
    site('mlp-down', 1, { error, rule: { family: 'aware', alpha: 0.2 } }),
    site('mlp-down', 2, { error: { before: 0.02, after: 0.02 }, rule: null }),
  ];
  const lines = equalizationLines(report(mode, sites), plain);
  expect(lines).toHaveLength(3);
  expect(lines[0]).toContain('searched for affine4-g128');
  expect(lines.at(-1)).toContain('-16.7 %');
  expect(lines.at(-1)).toContain('0.5, 0.2 by activations alone, 1 as it was');
  expect(equalizationLines(null, plain)).toEqual([]);
});
