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
    evidence: { probe: 'measured', prices: 'estimated' },
    tensors: priced.map(({ name, role, block, weights, klNats }) => ({
      tensor: name,
      role,
      block,
      elements: weights,
      probeScheme: 'Q3_K',
      klNats: klNats ?? 0,
      standardError: (klNats ?? 0) / 30,
      share: (klNats ?? 0) / total,
      prices: {},
    })),
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
