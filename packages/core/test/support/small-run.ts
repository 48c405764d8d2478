/**
 * @file A whole run that is small: most of the model locked as it is, few tokens, every stage there. What it makes is no
 * good as a model and all the same in every other respect.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cp, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { QuantizeOptions } from '../../src/jobs/quantize.js';
import type { RunEvent } from '../../src/run/events.js';
import { orator } from './jobs.js';
import { writeShortModel } from './short-model.js';
import { temporaryFolder } from './temporary.js';

export const smallRun = {
  model: orator,
  size: 13_000_000,
  locks: [String.raw`blk\.[1-7]\.=keep`],
  contextTokens: 32,
  calibrationTokens: 512,
  probeTokens: 128,
  floorTokens: 64,
  verifyTokens: 256,
  encoder: 'nearest',
  threads: 1,
} as const satisfies QuantizeOptions;

/** Smaller still, for what is run many times: two blocks, of which one is kept with the embedding, and few schemes to measure. */
export const leanRun = {
  ...smallRun,
  size: 4_900_000,
  locks: [String.raw`blk\.1\.|token_embd=keep`],
  schemes: ['Q3_K', 'Q4_K', 'Q8_0'],
  samples: 8,
} as const satisfies QuantizeOptions;

/** What the program in `entries/quantize.mjs` says. */
export type Line =
  | RunEvent
  | { readonly type: 'result'; readonly sha256: string; readonly planHash: string }
  | {
      readonly type: 'error';
      readonly kind: string | null;
      readonly code: string | null;
      readonly message: string;
    };

export interface Program<Said = Line> {
  readonly child: ChildProcess;
  /** All lines, after the program's end. */
  readonly ended: Promise<readonly Said[]>;
}

interface Watch<Said> {
  readonly onLine?: (line: Said) => void;
  /** May wrap the command, which is `"$@"`. */
  readonly shell?: string;
}

/** Starts the job in a process group of its own. */
export function startProgram(options: QuantizeOptions, watch: Watch<Line> = {}): Program {
  return startEntry('quantize', options, watch);
}

/** Starts a program of `jobs/entries` in a process group of its own. */
export function startEntry<Said>(
  name: string,
  options: object,
  { onLine = () => undefined, shell }: Watch<Said> = {},
): Program<Said> {
  const entry = fileURLToPath(new URL(`../jobs/entries/${name}.mjs`, import.meta.url));
  const command = [process.execPath, entry, JSON.stringify(options)];
  const [program, ...rest] = shell === undefined ? command : ['/bin/sh', '-c', shell, 'sh', ...command];
  const child = spawn(program, rest, { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  const lines: Said[] = [];
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (text) => {
    const line = JSON.parse(text) as Said;
    lines.push(line);
    onLine(line);
  });
  const ended = new Promise<readonly Said[]>((resolve) => child.once('close', () => resolve(lines)));
  return { child, ended };
}

/** Windows ends processes, but not groups of them at once. */
export const noSignals = process.platform === 'win32';

/** Where one run works. */
export interface Place {
  /** What `leanRun` is for. */
  readonly model: string;
  readonly home: string;
  readonly outputFolder: string;
  readonly output: string;
}

/** Gives out fresh places in a folder that goes with the test file, or such as have the store that another one has by now. */
export async function places(): Promise<(like?: Place) => Promise<Place>> {
  const root = await temporaryFolder();
  const model = path.join(root, 'short-model');
  await writeShortModel(model);
  let count = 0;
  return async (like) => {
    const folder = path.join(root, String(count++));
    const [home, outputFolder] = [path.join(folder, 'home'), path.join(folder, 'out')];
    await mkdir(outputFolder, { recursive: true });
    if (like !== undefined) await cp(like.home, home, { recursive: true });
    return { model, home, outputFolder, output: path.join(outputFolder, 'small.gguf') };
  };
}
