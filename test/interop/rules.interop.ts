/** @file The converter's rules for names, sizes and rotary factors against the answers that llama.cpp's own give. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { llama3RopeFactors } from '../../packages/core/src/model/huggingface/families/llama3-rope.js';
import { idToTitle, modelIdParts } from '../../packages/core/src/model/huggingface/metadata/model-id.js';
import { sizeLabel } from '../../packages/core/src/model/huggingface/metadata/size-label.js';
import questions from './names.json' with { type: 'json' };
import { places } from './workspace.mjs';

interface Answers {
  readonly ids: readonly Record<string, string | null>[];
  readonly counts: readonly string[];
  readonly ropes: readonly (readonly number[])[];
}

const answers = JSON.parse(await readFile(path.join(places.reference, 'answers.json'), 'utf8')) as Answers;

test.each(questions.ids.map(([id, count], index) => ({ id: String(id), count: Number(count), index })))(
  'the parts of "$id" ($count parameters)',
  ({ id, count, index }) => {
    const given = Object.entries(answers.ids[index]).filter(([, part]) => part !== null);
    const parts = { ...modelIdParts(id, count), title: idToTitle(id) };
    expect(Object.fromEntries(Object.entries(parts).filter(([, part]) => part !== undefined))).toEqual(
      Object.fromEntries(given),
    );
  },
);

test('size labels', () => {
  expect(questions.counts.map(sizeLabel)).toEqual(answers.counts);
});

test.each(questions.ropes.map((rope, index) => ({ ...rope, index })))(
  'rotary factors of heads of $head_dim, base $rope_theta',
  ({ head_dim: headWidth, index, ...rope }) => {
    const ours = [...llama3RopeFactors({ ...rope, rope_type: 'llama3' }, headWidth)!];
    const theirs = answers.ropes[index];
    expect(ours.length).toBe(theirs.length);
    // PyTorch's power of float32 is not correctly rounded and differs between processors in the last bit.
    ours.forEach((factor, pair) => expect(Math.abs(factor / theirs[pair] - 1)).toBeLessThan(2.5e-7));
  },
);
