/** @file A result as a run of the bundled model gives it: all numbers are of a real run's size. */
import type { PlannedTensor, QuantizeResult } from '@bitsmith/core';

const schemeBits: Record<string, number> = {
  Q6_K: 6.5625,
  Q5_K: 5.5,
  Q4_K: 4.5,
  IQ4_XS: 4.25,
  IQ3_S: 3.4375,
  Q3_K: 3.4375,
  IQ3_XXS: 3.0625,
  F32: 32,
};

/** Shapes of one block of a Llama model. */
function blockShapes(hidden: number, kv: number, mlp: number): [string, number][] {
  return [
    ['attn_q', hidden * hidden],
    ['attn_k', hidden * kv],
    ['attn_v', hidden * kv],
    ['attn_output', hidden * hidden],
    ['ffn_gate', hidden * mlp],
    ['ffn_up', hidden * mlp],
    ['ffn_down', hidden * mlp],
  ];
}

const cycle: Record<string, readonly string[]> = {
  attn_q: ['IQ3_XXS', 'IQ3_S', 'IQ3_S', 'IQ3_XXS'],
  attn_k: ['IQ3_S', 'IQ3_S', 'Q4_K'],
  attn_v: ['Q5_K', 'Q4_K', 'Q5_K', 'Q6_K'],
  attn_output: ['IQ4_XS', 'Q4_K'],
  ffn_gate: ['IQ3_S'],
  ffn_up: ['IQ3_S', 'IQ3_S', 'IQ4_XS'],
  ffn_down: ['IQ4_XS', 'IQ4_XS', 'Q4_K', 'IQ4_XS', 'Q5_K'],
};

/** Schemes one step up and down. */
const neighbours: Record<string, readonly [up: string, down: string]> = {
  Q6_K: ['Q8_0', 'Q5_K'],
  Q5_K: ['Q5_1', 'Q4_K'],
  Q4_K: ['Q4_1', 'IQ4_XS'],
  IQ4_XS: ['Q4_K', 'IQ3_S'],
  IQ3_S: ['IQ4_XS', 'IQ3_XXS'],
  IQ3_XXS: ['IQ3_S', 'IQ2_S'],
};

type Why = Pick<PlannedTensor, 'decidedBy' | 'up' | 'down' | 'reason'>;

function byPrice(scheme: string, klNats: number): Why {
  const [up, down] = neighbours[scheme];
  return {
    decidedBy: { kind: 'price', note: 'by price' },
    up: { scheme: up, bytes: 19_968, klNats: -klNats * 0.7 },
    down: { scheme: down, bytes: -19_968, klNats: klNats * 1.7 },
    reason: `by price; up: ${up} saves ${klNats * 0.7} nats; down: ${down} loses ${klNats * 1.7} nats`,
  };
}

function decided(kind: 'kept' | 'lock', note: string): Why {
  return { decidedBy: { kind, note }, up: null, down: null, reason: note };
}

const kept = decided('kept', 'kept as stored: a vector');

export function exampleTensors(
  blocks = 8,
  hidden = 256,
  kv = 128,
  mlp = 768,
  vocabulary = 4096,
): PlannedTensor[] {
  const tensors: PlannedTensor[] = [];
  const add = (
    tensor: string,
    scheme: string,
    weights: number,
    klNats: number,
    why = byPrice(scheme, klNats),
  ): void => {
    tensors.push({ tensor, scheme, bytes: (weights * schemeBits[scheme]) / 8, klNats, ...why });
  };
  add('token_embd.weight', 'Q4_K', vocabulary * hidden, 0.00212);
  for (let block = 0; block < blocks; block++) {
    add(`blk.${block}.attn_norm.weight`, 'F32', hidden, 0, kept);
    for (const [index, [name, weights]] of blockShapes(hidden, kv, mlp).entries()) {
      const schemes = cycle[name];
      const locked = block === 0 && name === 'attn_v';
      const klNats = (0.0021 * (1 + ((block * 7 + index * 3) % 5))) / (blocks * 7);
      add(
        `blk.${block}.${name}.weight`,
        locked ? 'Q6_K' : schemes[block % schemes.length],
        weights,
        klNats,
        locked ? decided('lock', "locked by 'blk\\.0\\.attn_v=Q6_K'") : undefined,
      );
    }
    add(`blk.${block}.ffn_norm.weight`, 'F32', hidden, 0, kept);
  }
  add('output_norm.weight', 'F32', hidden, 0, kept);
  add('output.weight', 'Q6_K', vocabulary * hidden, 0.0033);
  return tensors;
}

export function exampleResult(tensors = exampleTensors()): QuantizeResult {
  const parameterCount = tensors.reduce(
    (sum, { bytes, scheme }) => sum + (bytes * 8) / schemeBits[scheme],
    0,
  );
  const data = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const bytes = 42_112 + data;
  const sourceBytes = 42_112 + parameterCount * 2;
  const klNats = tensors.reduce((sum, tensor) => sum + (tensor.klNats ?? 0), 0);
  return {
    status: 'success',
    runId: '20250114-093012-4f1a',
    recordPath: '/home/ada/models/.bitsmith/runs/20250114-093012-4f1a.json',
    source: {
      location: 'models/orator-8m',
      name: 'Orator 8M',
      architecture: 'llama',
      dtype: 'BF16',
      parameterCount,
      byteLength: sourceBytes,
      sha256: 'a3'.repeat(32),
    },
    output: {
      path: '/home/ada/models/orator-8m-q.gguf',
      byteLength: bytes,
      sha256: '5e9b03c7d1f2a846'.repeat(4),
      bitsPerWeight: (data * 8) / parameterCount,
    },
    compressionRatio: sourceBytes / bytes,
    plan: {
      version: 1,
      hash: '77'.repeat(32),
      source: { name: 'Orator 8M', sha256: 'a3'.repeat(32) },
      budget: { request: 'ratio 3.6', bytes: Math.floor(sourceBytes / 3.6) },
      tensors,
      predicted: { bytes, klNats, evidence: 'estimated', klLowerBound: klNats * 0.9996, gap: 0.0004 },
      presetFloor: null,
    },
    texts: {
      calibration: { name: 'calibration.txt', sha256: 'c1'.repeat(32), tokens: 51_200 },
      search: { name: 'search.txt', sha256: 'd2'.repeat(32), tokens: 4096 },
      report: { name: 'bundled report text', sha256: 'e3'.repeat(32), tokens: 15_872 },
    },
    search: null,
    evaluation: {
      evidence: 'measured',
      text: { name: 'bundled report text', sha256: 'e3'.repeat(32), contextTokens: 256, chunks: 62 },
      positions: 7874,
      source: { perplexity: { value: 45.7021, standardError: 1.3612 } },
      output: { perplexity: { value: 46.2087, standardError: 1.3799 } },
      logPerplexityRatio: { value: 0.011024, standardError: 0.00131 },
      klNats: {
        mean: { value: 0.013241, standardError: 0.000183 },
        median: 0.00741,
        p99: 0.0912,
        p999: 0.2134,
        max: 0.9871,
      },
      sameTopToken: { value: 0.9317, standardError: 0.0028 },
      rmsDeltaP: { value: 0.01872, standardError: 0.00041 },
      sample: {
        prompt: 'The people of this country have always believed that',
        source:
          ' the government of the United States is a government of laws, and that the laws of the land are the supreme authority of the people.',
        output:
          ' the government of the United States is a government of the people, by the people, and that the power of the nation is derived from them.',
      },
    },
    leastCosine: { tensor: 'blk.2.ffn_down.weight', value: 0.984512 },
    largestError: { tensor: 'blk.2.ffn_down.weight', value: 0.1784 },
    lifts: [],
    protection: null,
    equalization: null,
    coherence: null,
    quality: null,
    seconds: {
      download: 0,
      convert: 0.412,
      calibrate: 4.21,
      measure: 17.93,
      plan: 0.31,
      encode: 3.08,
      verify: 6.44,
      total: 32.6,
    },
    peakMemoryBytes: 412_311_552,
    seed: 1,
    threads: 2,
    versions: { bitsmith: '0.1.0', node: '20.20.2', engine: '3.21.1', platform: 'linux-x64' },
  };
}
