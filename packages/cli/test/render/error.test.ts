import { BitsmithError } from '@bitsmith/formats';
import { expect, test } from 'vitest';
import { renderError } from '../../src/render/error.js';

const plain = { width: 80, color: false, unicode: false } as const;
const rendered = (message: string, fields: ConstructorParameters<typeof BitsmithError>[3]): string =>
  renderError(new BitsmithError('arguments', 'SOME_CODE', message, fields), plain, false);

test('an error says what was expected, what was found, and what to do', () => {
  const text = rendered('lock matches none of the 75 tensors', {
    expected: 'a pattern that is found in a name',
    found: 'foo',
    suggestion: 'List them all with: bitsmith inspect MODEL',
  });
  expect(text).toBe(
    [
      'Error: lock matches none of the 75 tensors',
      '  expected  a pattern that is found in a name',
      '  found     foo',
      '  List them all with: bitsmith inspect MODEL',
      '  SOME_CODE, exit code 2',
      '',
    ].join('\n'),
  );
});

test('an error does not say again what its message says', () => {
  const expected = 'a number above 0';
  const suggestion = `Write --max-kl as ${expected}.`;
  const text = rendered(`--max-kl abc: expected ${expected}`, { expected, found: 'abc', suggestion });
  expect(text).toBe('Error: --max-kl abc: expected a number above 0\n  SOME_CODE, exit code 2\n');
});
