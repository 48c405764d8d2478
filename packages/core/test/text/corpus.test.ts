import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sha256 } from '../../src/io/hash.js';
import { loadCorpus, loadText } from '../../src/text/corpus.js';
import { expectFailure, failure } from '../support/errors.js';
import { temporaryFolder } from '../support/temporary.js';

const folder = await temporaryFolder();

async function textFile(name: string, content: string | Uint8Array): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, content);
  return file;
}

const paragraphs = Array.from({ length: 500 }, (_, i) => `Paragraph ${i} says something of its own.\n\n`);

describe("a user's file in three parts", () => {
  test('disjoint, in order, cut at paragraph ends, nothing lost', async () => {
    const { calibration, search, report } = await loadCorpus(await textFile('book.txt', paragraphs.join('')));
    expect(calibration.content + search.content + report.content).toBe(paragraphs.join(''));
    const partsOf = (content: string) => new Set(content.split('\n\n').filter((part) => part !== ''));
    const [a, b, c] = [calibration, search, report].map(({ content }) => partsOf(content));
    expect(a.size + b.size + c.size).toBe(paragraphs.length);
    expect(new Set([...a, ...b, ...c]).size).toBe(paragraphs.length);
    expect(a.size / paragraphs.length).toBeCloseTo(0.6, 1);
    expect(b.size / paragraphs.length).toBeCloseTo(0.2, 1);
    expect(calibration.name).toBe('book.txt (first 60 %)');
    expect(search.sha256).toBe(sha256(search.content));
  });

  test('characters outside the basic plane are never cut in two', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('😀', 'é', 'a', '漢', '𝔘'), { minLength: 12, maxLength: 60 }),
        async (characters) => {
          const content = characters.join('');
          const corpus = await loadCorpus(await textFile('planes.txt', content)).catch(() => null);
          if (corpus === null) return;
          const parts = [corpus.calibration, corpus.search, corpus.report].map((part) => part.content);
          expect(parts.join('')).toBe(content);
          for (const part of parts) expect(part).not.toMatch(/[\uD800-\uDFFF]/u);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('one endless line is still cut in its shares, between words', async () => {
    const words = Array.from({ length: 5000 }, (_, i) => `word${i}`);
    const corpus = await loadCorpus(await textFile('line.txt', `${words.join(' ')}\n\n`));
    const counts = [corpus.calibration, corpus.search, corpus.report].map(
      ({ content }) => content.trim().split(' ').length,
    );
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(words.length);
    expect(counts[0] / words.length).toBeCloseTo(0.6, 1);
    expect(counts[1] / words.length).toBeCloseTo(0.2, 1);
  });
});

describe('files that are no texts', () => {
  test.each(['', ' \n\t\r\n ', '\uFEFF\n'])('nothing but white space: %j', async (content) => {
    const file = await textFile('empty.txt', content);
    await expectFailure(() => loadCorpus(file), 'calibration-text', 'TEXT_EMPTY', /empty\.txt/);
    await expectFailure(() => loadText(file), 'calibration-text', 'TEXT_EMPTY');
  });

  test('not UTF-8', async () => {
    const file = await textFile('latin1.txt', Buffer.from('Stra\xdfe und Caf\xe9', 'latin1'));
    const error = await failure(() => loadCorpus(file));
    expect(error).toMatchObject({ kind: 'calibration-text', code: 'TEXT_NOT_UTF8' });
    expect(error.message).toContain(file);
  });

  test('missing, or a folder', async () => {
    await expectFailure(
      () => loadCorpus(path.join(folder, 'absent.txt')),
      'model-not-found',
      'FILE_NOT_FOUND',
    );
    await mkdir(path.join(folder, 'some-folder'));
    await expectFailure(() => loadCorpus(path.join(folder, 'some-folder')), 'arguments', 'FILE_IS_FOLDER');
  });
});

test('the bundled texts are there and share no line of any length', async () => {
  const { calibration, search, report } = await loadCorpus();
  const lines = [calibration, search, report].map(
    ({ content }) => new Set(content.split('\n').filter((line) => line.length > 60)),
  );
  for (const set of lines) expect(set.size).toBeGreaterThan(100);
  for (const [a, b] of [
    [0, 1],
    [0, 2],
    [1, 2],
  ]) {
    expect([...lines[a]].filter((line) => lines[b].has(line))).toEqual([]);
  }
});
