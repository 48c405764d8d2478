/**
 * @file The texts of a run. Calibration, search and report parts are disjoint: prices are measured on the first two, and
 * the reported quality comes from text that nothing was tuned on.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { BitsmithError } from '@bitsmith/formats';
import { fileError } from '../io/file-errors.js';
import { sha256 } from '../io/hash.js';

export type TextPart = 'calibration' | 'search' | 'report';

export interface Text {
  /** For people: the file's name, with its part when a file was split. */
  readonly name: string;
  readonly content: string;
  readonly sha256: string;
}

export type Corpus = Readonly<Record<TextPart, Text>>;

/** Shares of a user's file, in order: contiguous parts, cut at paragraph ends. */
const shares: Readonly<Record<TextPart, number>> = { calibration: 0.6, search: 0.2, report: 0.2 };

/**
 * Loads the texts: the user's file split in three, or the bundled English (held-out search and report files).
 * @throws BitsmithError `TEXT_EMPTY`, `TEXT_NOT_UTF8`, `FILE_NOT_FOUND`
 */
export async function loadCorpus(file?: string): Promise<Corpus> {
  if (file === undefined) {
    const folder = bundledTextFolder();
    return {
      calibration: makeText('bundled calibration text', await readText(path.join(folder, 'calibration.txt'))),
      search: makeText('bundled search text', await readText(path.join(folder, 'search.txt'))),
      report: makeText('bundled report text', await readText(path.join(folder, 'report.txt'))),
    };
  }
  const name = path.basename(file);
  const whole = await readText(file);
  const first = cutNear(whole, whole.length * shares.calibration);
  const second = cutNear(whole, whole.length * (shares.calibration + shares.search));
  return {
    calibration: makeText(`${name} (first ${shares.calibration * 100} %)`, whole.slice(0, first)),
    search: makeText(`${name} (next ${shares.search * 100} %)`, whole.slice(first, second)),
    report: makeText(`${name} (last ${shares.report * 100} %)`, whole.slice(second)),
  };
}

/** Loads one whole file as a text, for example to evaluate on. */
export async function loadText(file: string): Promise<Text> {
  return makeText(path.basename(file), await readText(file));
}

/** The folder of the texts that come with Bitsmith: in the published package, else in the repository. */
function bundledTextFolder(): string {
  const here = path.dirname(fileURLToPath(import.meta.url));
  const candidates = [path.resolve(here, '../../text'), path.resolve(here, '../../../../models/text')];
  const found = candidates.find((folder) => existsSync(path.join(folder, 'calibration.txt')));
  if (found === undefined) {
    throw new BitsmithError(
      'calibration-text',
      'TEXT_NOT_FOUND',
      `the bundled texts are missing; looked in ${candidates.join(' and ')}`,
      {
        suggestion: 'Name a text of your own with --text FILE, or install the package again.',
      },
    );
  }
  return found;
}

function makeText(name: string, content: string): Text {
  return { name, content, sha256: sha256(content) };
}

async function readText(file: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (error) {
    throw fileError(error, file, 'read');
  }
  let content: string;
  try {
    content = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new BitsmithError(
      'calibration-text',
      'TEXT_NOT_UTF8',
      `expected UTF-8 text in ${file}, found other bytes`,
      {
        suggestion: 'Convert the file to UTF-8.',
        cause,
      },
    );
  }
  if (content.trim() === '') {
    throw new BitsmithError(
      'calibration-text',
      'TEXT_EMPTY',
      `expected text in ${file}, found nothing but white space`,
      {
        suggestion:
          'Name a text of at least a few thousand words in the language the model will be used for.',
      },
    );
  }
  return content;
}

/** Paragraphs are looked for this far behind the exact share; further on the shares would be others than were said. */
const LARGEST_SHIFT = 20_000;

/** The end of the paragraph (else line, else word) next after `position`, so that no sentence stands in two parts. */
function cutNear(text: string, position: number): number {
  const start = Math.floor(position);
  const window = text.slice(start, start + Math.min(LARGEST_SHIFT, Math.ceil(text.length / 20)));
  for (const end of ['\n\n', '\n', ' ']) {
    const found = window.indexOf(end);
    if (found >= 0) return start + found + end.length;
  }
  const insideOfPair = /^[\uDC00-\uDFFF]/.test(window);
  return insideOfPair ? start + 1 : start;
}
