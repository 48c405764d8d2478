import { describe, expect, test } from 'vitest';
import { llama3RopeFactors } from '../../../src/model/huggingface/families/llama3-rope.js';
import { parseModelCard } from '../../../src/model/huggingface/metadata/model-card.js';
import { idToTitle, modelIdParts } from '../../../src/model/huggingface/metadata/model-id.js';
import { sizeLabel } from '../../../src/model/huggingface/metadata/size-label.js';
import { convert, tinyConfig, tinyFiles } from './support/memory-folder.js';

test.each([
  [
    'Mistral/Mixtral-8x7B-Instruct-v0.1',
    46.7e9,
    {
      name: 'Mixtral-8x7B-Instruct-v0.1',
      organization: 'Mistral',
      basename: 'Mixtral',
      finetune: 'Instruct',
      version: 'v0.1',
      sizeLabel: '8x7B',
    },
  ],
  [
    'Phi-3-mini-128k-instruct',
    3.8e9,
    { name: 'Phi-3-mini-128k-instruct', basename: 'Phi-3', finetune: '128k-instruct', sizeLabel: 'mini' },
  ],
  [
    'bloom-7b1-petals',
    7e9,
    { name: 'bloom-7b1-petals', basename: 'bloom', finetune: 'petals', sizeLabel: '7.1B' },
  ],
  ['orator-8m', 8_392_960, { name: 'orator-8m', basename: 'orator', sizeLabel: '8M' }],
  ['some words', 5, { name: 'some words' }],
])('the parts of %s', (id, count, parts) => {
  expect(modelIdParts(id, count)).toEqual(parts);
});

test('titles', () => {
  expect(idToTitle('llama-3.1-8b-instruct-v2')).toBe('Llama 3.1 8b Instruct v2');
  expect(idToTitle('my_model2go')).toBe('My_Model2Go');
});

test.each([
  [8_392_960, '8.4M'],
  [134_515_008, '135M'],
  [12_500_000, '12M'],
  [13_500_000, '14M'],
  [1_250_000, '1.2M'],
  [999, '1.0K'],
  [70_553_706_496, '71B'],
])('%i parameters are %s', (count, label) => {
  expect(sizeLabel(count)).toBe(label);
});

describe('model cards', () => {
  test('the head is YAML; Norwegian is a language', () => {
    expect(parseModelCard('---\nlicense: mit\nlanguage:\n- no\n- en\n---\n# x\n')).toEqual({
      license: 'mit',
      language: ['no', 'en'],
    });
  });
  test.each(['', '# no head', '---\n- a list\n---\n', '---\n: {\n---\n', 'text\n---\na: b\n---\n'])(
    '%j says nothing',
    (text) => {
      expect(parseModelCard(text)).toEqual({});
    },
  );
});

test('general keys from card, generation settings and folder name', async () => {
  const files = await tinyFiles({
    'README.md':
      '---\nlicense: [mit, other]\nbase_model: org/Base-1B\ntags: [a]\npipeline_tag: text-generation\n---\n',
    'generation_config.json': { temperature: 0.5, top_k: 40 },
  });
  const { metadata } = await convert(files, 'Tiny-Chat-v2');
  const value = (key: string): unknown =>
    (metadata.get(`general.${key}`) as { value: unknown } | undefined)?.value;
  expect([...metadata.keys()].slice(0, 5)).toEqual([
    'general.architecture',
    'general.type',
    'general.sampling.top_k',
    'general.sampling.temp',
    'general.name',
  ]);
  expect([value('name'), value('finetune'), value('version'), value('license')]).toEqual([
    'Tiny Chat v2',
    'Chat',
    'v2',
    'mit,other',
  ]);
  expect([value('base_model.count'), value('base_model.0.name'), value('base_model.0.repo_url')]).toEqual([
    1,
    'Base 1B',
    'https://huggingface.co/org/Base-1B',
  ]);
  expect(value('tags')).toEqual(['a', 'text-generation']);
});

test('defaults of the model type fill what config.json leaves out', async () => {
  const { metadata } = await convert(await tinyFiles());
  const value = (key: string): unknown =>
    (metadata.get(`llama.${key}`) as { value: unknown } | undefined)?.value;
  expect([value('context_length'), value('rope.freq_base'), value('attention.key_length')]).toEqual([
    2048, 10_000, 4,
  ]);
  const strange = await convert(
    await tinyFiles({ 'config.json': { ...tinyConfig, model_type: 'unheard-of' } }),
  );
  expect(strange.metadata.has('llama.context_length')).toBe(false);
});

test('Llama 3 rotary factors, as PyTorch computes them', () => {
  const rope = {
    rope_type: 'llama3',
    rope_theta: 500_000,
    factor: 32,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  };
  const factors = [...llama3RopeFactors(rope, 64)!];
  expect(factors.slice(0, 15)).toEqual(Array.from({ length: 15 }, () => 1));
  expect(factors.slice(15, 18)).toEqual([1.6513292789459229, 3.2922627925872803, 9.666730880737305]);
  expect(factors.slice(18)).toEqual(Array.from({ length: 14 }, () => 32));
  expect(llama3RopeFactors({ rope_type: 'linear' }, 64)).toBe(undefined);
});
