import { describe, expect, it } from 'vitest';
import { renderPlan } from '../../src/render/plan.js';
import { renderSummary } from '../../src/render/summary.js';
import { displayWidth } from '../../src/render/terminal.js';
import { exampleResult, exampleTensors } from './result.js';

const plain = { color: false, unicode: true } as const;
const small = exampleResult();
const large = exampleResult(exampleTensors(28, 2048, 1024, 6144, 151_936));
const deep = exampleResult(exampleTensors(80, 8192, 1024, 28_672, 128_256));

function lines(text: string): string[] {
  return text.split('\n').slice(0, -1);
}

describe('the summary of a run', () => {
  it.each([60, 80, 100])('is drawn at %i columns', (width) => {
    expect(renderSummary(small, { ...plain, width })).toMatchSnapshot();
  });

  it('is drawn in ASCII where nothing else is safe', () => {
    const text = renderSummary(small, { width: 80, color: false, unicode: false });
    expect(text).toMatchSnapshot();
    // oxlint-disable-next-line no-control-regex
    expect(text).toMatch(/^[\n\u0020-\u007E]*$/);
  });

  it('has more blocks than columns', () => {
    expect(renderSummary(deep, { ...plain, width: 80 })).toMatchSnapshot();
  });

  it('fits on one screen of 80 columns and 40 lines, the prompt below included', () => {
    for (const result of [small, large, deep]) {
      expect(lines(renderSummary(result, { ...plain, width: 80 })).length).toBeLessThan(40);
    }
  });

  it.each([40, 50, 60, 72, 80, 100, 120, 200])('never passes %i columns, with colour or without', (width) => {
    for (const result of [small, large, deep]) {
      for (const color of [false, true]) {
        for (const line of lines(renderSummary(result, { width, color, unicode: true }))) {
          expect(displayWidth(line)).toBeLessThanOrEqual(Math.min(width, 100));
        }
      }
    }
  });

  it('says the same with colour as without', () => {
    const colored = renderSummary(small, { width: 80, color: true, unicode: true });
    // oxlint-disable-next-line no-control-regex
    const stripped = colored.replace(/\u001B\[[0-9;]*m/g, '');
    expect(stripped).toBe(renderSummary(small, { ...plain, width: 80 }));
  });

  it('without verification tells what is predicted, and that it is not measured', () => {
    const text = renderSummary({ ...small, evaluation: null }, { ...plain, width: 80 });
    expect(text).toContain('What it should cost  estimated, not measured on the file');
    expect(text).not.toContain('perplexity');
    expect(text).not.toContain('NaN');
  });

  it('of a plan file without prices says nothing of losses it does not know', () => {
    const tensors = small.plan.tensors.map((tensor) => ({ ...tensor, klNats: null }));
    const predicted = { ...small.plan.predicted, klNats: null, klLowerBound: null, gap: null };
    const text = renderSummary(
      { ...small, plan: { ...small.plan, tensors, predicted } },
      { ...plain, width: 80 },
    );
    expect(text).not.toContain('Where the loss is');
    expect(text).not.toContain('the plan predicted');
  });

  it('says so when a file is larger than its budget', () => {
    const plan = { ...small.plan, budget: { request: 'size 4MB', bytes: 4_000_000 } };
    expect(renderSummary({ ...small, plan }, { ...plain, width: 80 })).toContain(
      '585,856 bytes above 4,000,000 bytes',
    );
  });

  it('shows both continuations from their first difference', () => {
    const text = renderSummary(small, { ...plain, width: 80 });
    expect(text).toMatch(/source {2}… a government of laws, and/);
    expect(text).toMatch(/file {4}… a government of the people,/);
    const evaluation = { ...small.evaluation!, sample: { prompt: 'a', source: ' b c', output: ' b c' } };
    expect(renderSummary({ ...small, evaluation }, { ...plain, width: 80 })).toMatch(/both {4}b c/);
  });

  it('lets no words of a model steer the terminal', () => {
    const evil = '\u001B[2J\u0007 a\rb\u009B31m';
    const evaluation = { ...small.evaluation!, sample: { prompt: evil, source: evil, output: ` x${evil}` } };
    const source = { ...small.source, name: evil };
    const text = renderSummary({ ...small, source, evaluation }, { ...plain, width: 80 });
    // oxlint-disable-next-line no-control-regex
    expect(text).not.toMatch(/[\u0000-\u0009\u000B-\u001F\u007F-\u009F]/);
  });
});

describe('a plan', () => {
  it('is drawn before anything is written', () => {
    expect(
      renderPlan(
        { ...small.plan, search: null, protection: null, equalization: null },
        { ...plain, width: 80 },
      ),
    ).toMatchSnapshot();
  });
});
