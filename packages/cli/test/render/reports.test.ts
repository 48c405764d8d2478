import type { AnalyzeResult, StoredArtifact } from '@bitsmith/core';
import { describe, expect, it } from 'vitest';
import { renderAnalysis } from '../../src/render/analysis.js';
import { renderCache } from '../../src/render/cache.js';
import { renderEvaluation } from '../../src/render/evaluation.js';
import { reportedTensors } from '../../src/render/tensors.js';
import { displayWidth } from '../../src/render/terminal.js';
import { exampleResult } from './result.js';

const terminal = { width: 80, color: false, unicode: true };
const example = exampleResult();

function exampleAnalysis(): AnalyzeResult {
  const priced = reportedTensors(example.plan, 'llama').filter(({ role }) => role !== 'norm');
  const total = priced.reduce((sum, { klNats }) => sum + (klNats ?? 0), 0);
  return {
    status: 'success',
    model: { name: 'Orator 8M', architecture: 'llama', sha256: 'a3'.repeat(32), parameterCount: 8_392_960 },
    importanceMatrixPath: '/home/ada/models/orator-8m.imatrix.gguf',
    calibration: { dataset: 'bundled calibration text', tokens: 32_768, sha256: 'c1'.repeat(32) },
    text: { name: 'bundled search text', sha256: 'd2'.repeat(32), tokens: 2048, samples: 8 },
    seed: 1,
    methods: [{ method: 'rtn', weight: 1, scores: 174 }],
    methodsLeftOut: [],
    tensors: priced.map(({ name, role, block, weights, klNats }) => ({
      tensor: name,
      role,
      block,
      elements: weights,
      share: (klNats ?? 0) / total,
      loss: { scheme: 'Q3_K', klNats: klNats ?? 0, standardError: (klNats ?? 0) / 30 },
      scores: [],
      prices: {},
    })),
    medianRelativeError: 0.0333,
    gains: [
      {
        uniformScheme: 'Q3_K',
        bitsPerWeight: 3.4523,
        uniformKlNats: 0.05221,
        mixedKlNats: 0.03294,
        ratio: 0.03294 / 0.05221,
      },
      {
        uniformScheme: 'Q4_K',
        bitsPerWeight: 4.5143,
        uniformKlNats: 0.01302,
        mixedKlNats: 0.00786,
        ratio: 0.00786 / 0.01302,
      },
    ],
    prediction: {
      fit: {
        a: 1.02,
        b: 0.7,
        relativeError: 0.031,
        plans: 6,
        range: [0.001, 0.2],
        mostBodySum: 0.16,
        draws: [],
      },
      plans: [],
      sizes: [
        { bitsPerWeight: 2.5, klNats: 0.1234, low: 0.115, high: 0.131 },
        { bitsPerWeight: 4.5, klNats: 0.00812, low: 0.0078, high: 0.0084 },
      ],
    },
    interactions: {
      sequences: 128,
      pairs: 1653,
      correlation: 0.091,
      noiseFloor: 0.0883,
      reproducibility: 0.012,
      threshold: 4.2,
      found: [],
    },
    superWeights: exampleSuperWeights(),
    scoresPath: null,
  };
}

function exampleSuperWeights(): AnalyzeResult['superWeights'] {
  const spike = { channel: 714, value: -310, rms: 0.92, sequence: 0, position: 0 };
  return {
    candidates: [
      {
        tensor: 'blk.2.ffn_down.weight',
        input: spike,
        output: { ...spike, channel: 99, value: -151, rms: 1.4 },
        inputAtOutput: -310,
        weight: 0.498,
        inputToken: 1,
        outputToken: 1,
        row: 99,
        column: 714,
        inputProminence: 337,
        outputProminence: 108,
        contribution: 1.02,
        found: true,
        klNats: 1.234,
      },
    ],
    missing: null,
    coverage: 0.0001,
    count: 735,
    counts: { 'output.weight': 623, 'blk.7.ffn_down.weight': 112 },
    important: [
      { tensor: 'blk.7.ffn_down.weight', row: 247, column: 408, value: 0.6328125, importance: 94.3673 },
      { tensor: 'output.weight', row: 1206, column: 247, value: -0.373046875, importance: 9.1e-7 },
    ],
  };
}

describe('reports', () => {
  it('of an analysis', () => {
    expect(renderAnalysis(exampleAnalysis(), terminal)).toMatchSnapshot();
  });

  it('of an analysis stay within any width', () => {
    for (const width of [40, 60, 72, 100, 160]) {
      for (const line of renderAnalysis(exampleAnalysis(), { ...terminal, width }).split('\n')) {
        expect(displayWidth(line)).toBeLessThanOrEqual(width);
      }
    }
  });

  it('of an analysis by several methods without nats, of a family without spikes', () => {
    const example = exampleAnalysis();
    const text = renderAnalysis(
      {
        ...example,
        methods: [
          { method: 'variance', weight: 0.25, scores: 58 },
          { method: 'activation', weight: 0.75, scores: 58 },
        ],
        methodsLeftOut: ['gradient'],
        tensors: example.tensors.map((tensor) => ({ ...tensor, loss: null })),
        medianRelativeError: null,
        gains: [],
        prediction: null,
        interactions: null,
        superWeights: { ...example.superWeights, candidates: [], missing: 'none here' },
        scoresPath: '/home/ada/scores.parquet',
      },
      terminal,
    );
    expect(text).toContain('variance 25 %, activation 75 %; not here: gradient');
    expect(text).toContain('/home/ada/scores.parquet');
    expect(text).toContain('by activation spikes: none here');
    expect(text).not.toContain('nats per token');
    expect(text).not.toMatch(/Mixed precision|Best plans|Interactions/);
    expect(text).toMatch(/^ {2}output +28\.2 % +█+$/m);
  });

  it('of an analysis that found interactions', () => {
    const { interactions, ...example } = exampleAnalysis();
    const found = Array.from({ length: 7 }, (_, index) => ({
      tensors: [`blk.${index}.attn_k.weight`, `blk.${index}.attn_q.weight`] as const,
      correlation: 0.4 - index / 100,
      deviations: 4.6 - index / 10,
    }));
    const text = renderAnalysis({ ...example, interactions: { ...interactions!, found } }, terminal);
    expect(text).toMatch(/^ {2}blk\.0\.attn_k\.weight {2}blk\.0\.attn_q\.weight +0\.40 +4\.6$/m);
    expect(text).toContain('7 pairs beyond chance; correlation 0.091, by chance 0.088');
    expect(text).not.toContain('blk.6.attn_k');
  });

  it('of an analysis with weights that none is super among', () => {
    const { superWeights, ...example } = exampleAnalysis();
    const candidates = superWeights.candidates.map((each) => ({ ...each, found: false, klNats: null }));
    const text = renderAnalysis({ ...example, superWeights: { ...superWeights, candidates } }, terminal);
    expect(text).toContain('by activation spikes: none in 1 projection\n');
  });

  it('of an evaluation', () => {
    const files = { source: 'models/orator-8m', output: 'orator-8m-q.gguf' };
    expect(renderEvaluation(example.evaluation!, files, terminal)).toMatchSnapshot();
  });

  it('of the cache', () => {
    const now = new Date('2025-03-10T12:00:00Z');
    const artifact = (kind: string, byteLength: number, day: string): StoredArtifact => {
      return {
        kind,
        name: 'x',
        path: `/home/ada/.bitsmith/artifacts/${kind}/x`,
        byteLength,
        lastUsed: new Date(day),
      };
    };
    const artifacts = [
      artifact('download', 1_200_000_000, '2025-03-10T09:00:00Z'),
      artifact('probe', 80, '2025-03-09T09:00:00Z'),
      artifact('probe', 90, '2025-01-09T09:00:00Z'),
    ];
    expect(renderCache('/home/ada/.bitsmith', artifacts, now, terminal)).toMatchSnapshot();
    expect(renderCache('/home/ada/.bitsmith', [], now, terminal)).toBe(
      '/home/ada/.bitsmith  0 artifacts, 0 bytes\n',
    );
  });
});
