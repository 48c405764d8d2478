import type { Protection, QuantizeResult } from '@bitsmith/core';
import { expect, it } from 'vitest';
import { coherenceLines } from '../../src/render/coherence.js';
import { liftLines } from '../../src/render/lifts.js';
import { protectionLines } from '../../src/render/protection.js';
import type { Terminal } from '../../src/render/terminal.js';

const screen: Terminal = { width: 100, color: false, unicode: true };

const coherence = {
  agreement: { value: 0.056, standardError: 0.0137 },
  repetition: { source: 0, output: 0.02 },
  entropyNats: { source: 3.48, output: 6.8 },
  signs: ['disagrees', 'flat'],
} as unknown as NonNullable<QuantizeResult['coherence']>;

it('text that a file writes is a line, and what tells of its collapse another', () => {
  expect(coherenceLines(null, screen)).toEqual([]);
  const facts = '  own text         agrees on 6 % ± 1 %, repeats 2 % (source 0 %), entropy 6.80 (3.48) nats';
  expect(coherenceLines(coherence, screen)).toEqual([facts, '                   collapsed: disagrees, flat']);
  expect(coherenceLines({ ...coherence, signs: [] }, screen)).toEqual([facts]);
});

it('tensors that were lifted: the worst by name, and the bytes of all', () => {
  const lift = {
    tensor: 'blk.0.ffn_up.weight',
    from: 'Q3_K',
    to: 'Q4_K',
    bytes: 26_000,
    relativeError: 0.2243,
  };
  expect(liftLines([], screen)).toEqual([]);
  expect(liftLines([lift], screen)).toEqual([
    '  lifted           blk.0.ffn_up.weight Q3_K → Q4_K (error 0.224), 26.0 kB in all',
  ]);
  expect(liftLines([{ ...lift, relativeError: 0.1, tensor: 'b' }, lift], screen)[0]).toContain(
    'blk.0.ffn_up.weight Q3_K → Q4_K (error 0.224) and 1 more step, 52.0 kB in all',
  );
});

it('what protection bought', () => {
  const tried = [{ tensor: 'blk.2.ffn_down.weight', pays: true }] as unknown as Protection['tried'];
  const found: Protection = {
    bits: 8,
    coverage: 0.0001,
    superWeights: 1,
    importantWeights: 735,
    tried,
    without: { value: 0.074, standardError: 0.003 },
    with: { value: 0.071, standardError: 0.003 },
    difference: { nats: -0.003, standardError: 0.0004 },
    taken: true,
    tokens: 4096,
    evidence: 'measured',
  };
  const linesOf = (more: Partial<Protection>): string[] => protectionLines({ ...found, ...more }, screen);
  expect(linesOf({})).toEqual([
    '  protected        blk.2.ffn_down.weight: 4.1 % ± 0.5 % less loss at the same bytes (0.0740 nats without)',
    '                   1 super weight by spikes, 735 weights by importance; 1 tensor tried, a step up and at 8 bits',
  ]);
  expect(linesOf({ taken: false, difference: { nats: 0.001, standardError: 0.002 } })[0]).toContain(
    'blk.2.ffn_down.weight would make it 1.4 % ± 2.7 % more loss at the same bytes',
  );
  expect(linesOf({ taken: false, without: null, with: null, difference: null })[0]).toContain(
    'no tensor is worth its bytes: the plan is the same',
  );
  expect(linesOf({ taken: false, tried: [], without: null, difference: null })[0]).toContain('nothing to do');
  expect(protectionLines(null, screen)).toEqual([]);
});
