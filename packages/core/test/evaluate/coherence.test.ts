import { describe, expect, it } from 'vitest';
import type { Continuations } from '../../src/evaluate/coherence-task.js';
import { type CollapseSign, describeCoherence, refuseCollapsed } from '../../src/evaluate/coherence.js';

const VOCABULARY = 4096;
const LENGTH = 40;

interface Facts {
  /** Tokens of which the file's text is made, over and over. */
  readonly period?: number;
  readonly agree?: number;
  readonly entropy?: number;
}

/** Two prompts; the source never repeats itself and has 3.5 nats of choice. */
function continuations({ period = LENGTH, agree = 0.6, entropy = 3.6 }: Facts): Continuations[] {
  return [0, 1].map((prompt) => ({
    prompt: 'p',
    source: {
      tokens: Int32Array.from({ length: LENGTH }, (_, i) => 100 * prompt + i),
      text: 's',
      entropyNats: new Float64Array(LENGTH).fill(3.5),
    },
    output: {
      tokens: Int32Array.from({ length: LENGTH }, (_, i) => i % period),
      text: 'o',
      entropyNats: new Float64Array(LENGTH).fill(entropy),
    },
    sameTop: Uint8Array.from({ length: LENGTH }, (_, i) => (i < agree * LENGTH ? 1 : 0)),
  }));
}

const described = (facts: Facts) =>
  describeCoherence({ vocabulary: VOCABULARY, continuations: continuations(facts) }, 1);

describe('the text that a file writes', () => {
  it('is described by agreement, repetition and entropy', () => {
    const found = described({ period: 20 });
    expect(found.agreement.value).toBe(0.6);
    expect(found.agreement.standardError).toBeCloseTo(Math.sqrt((0.6 * 0.4) / 79), 9);
    // 37 runs of four tokens in 40; the second half comes again.
    expect(found.repetition).toEqual({ source: 0, output: 17 / 37 });
    expect(found.entropyNats.source).toBe(3.5);
    expect(found.entropyNats.output).toBeCloseTo(3.6, 9);
    expect(found.tokens).toBe(80);
  });

  it.each<[Facts, readonly CollapseSign[]]>([
    [{}, []],
    // About what 1.5 bits leave of the bundled model.
    [{ agree: 0.45, entropy: 4.6, period: 34 }, []],
    [{ agree: 0.1 }, ['disagrees']],
    [{ period: 3 }, ['repeats']],
    [{ entropy: 7 }, ['flat']],
    [{ entropy: 0.5 }, ['fixed']],
    [{ agree: 0, entropy: Math.log(VOCABULARY) }, ['disagrees', 'flat']],
  ])('%j shows %j', (facts, signs) => {
    expect(described(facts).signs).toEqual(signs);
  });

  it('shows nothing where the source ends every text at once', () => {
    const empty = continuations({ agree: 0 }).map((each) => ({
      ...each,
      source: { ...each.source, tokens: new Int32Array(0), entropyNats: new Float64Array(0) },
      sameTop: new Uint8Array(0),
    }));
    expect(describeCoherence({ vocabulary: VOCABULARY, continuations: empty }, 1).signs).toEqual([]);
  });

  it('is refused with exit code 12 where it shows signs of collapse', () => {
    expect(() => refuseCollapsed(described({}), 2.2)).not.toThrow();
    expect(() => refuseCollapsed(described({ period: 3, agree: 0.1 }), 1.13)).toThrowError(
      expect.objectContaining({
        kind: 'incoherent',
        code: 'OUTPUT_INCOHERENT',
        exitCode: 12,
        message:
          "expected a file that writes text as the source does, found one of 1.13 bits per weight that agrees with the source on 10.0 % of the source's text and repeats 91.9 % of its own (the source 0.0 %)",
      }),
    );
  });
});
