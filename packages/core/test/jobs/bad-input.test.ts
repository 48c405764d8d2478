import { spawnSync } from 'node:child_process';
import { appendFile, chmod, mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { ErrorKind } from '@bitsmith/formats';
import { beforeAll, describe, expect, test } from 'vitest';
import { quantize, type QuantizeOptions } from '../../src/jobs/quantize.js';
import type { RunEvent } from '../../src/run/events.js';
import { type Damageable, damageable } from '../support/damage.js';
import { expectFailure, failure } from '../support/errors.js';
import { hashOf, orator, runJob } from '../support/jobs.js';
import { childrenOf } from '../support/processes.js';
import { randomFrom } from '../support/random.js';
import { smallRun, startProgram } from '../support/small-run.js';
import { onDisk } from '../support/small-disk.js';
import { temporaryFolder } from '../support/temporary.js';

/** Few schemes and samples: what goes wrong does so whatever there is to choose from. */
const run = { ...smallRun, schemes: ['Q3_K', 'Q4_K', 'Q6_K'], samples: 4 } as const;
const root = await temporaryFolder();
const home = path.join(root, 'home');
const outputs = path.join(root, 'outputs');
const output = path.join(outputs, 'small.gguf');
let model: Damageable;
let source: string;

beforeAll(async () => {
  await mkdir(outputs);
  model = await damageable(root, home);
  source = path.join(root, 'sound.gguf');
}, 300_000);

interface Refusal {
  readonly kind: ErrorKind;
  readonly code: string;
  readonly message?: RegExp;
  /** Stages that may have begun; by default none: bad input must not cost time. */
  readonly stages?: readonly string[];
}

/** The job must fail so, with nothing at the output and the source as it was. */
async function expectRefused(options: Partial<QuantizeOptions>, refusal: Refusal): Promise<void> {
  const before = await readdir(outputs);
  const read = options.model ?? source;
  const hash = await hashOf(read).catch(() => null);
  const begun: string[] = [];
  const note = (event: RunEvent): void => {
    if (event.type === 'stage-start') begun.push(event.stage);
  };
  const job = quantize({ ...run, model: source, output, home, ...options });
  const error = await failure(() => runJob(job, note));
  const { kind, code, message = /^/, stages = [] } = refusal;
  expect({ kind: error.kind, code: error.code, begun }).toEqual({ kind, code, begun: stages });
  expect(error.message).toMatch(message);
  expect(await readdir(outputs)).toEqual(before);
  expect(await hashOf(read).catch(() => null)).toBe(hash);
}

describe('a damaged GGUF', () => {
  test.each([0, 3, 4, 23, 24, 1000, 50_000])('cut after %d bytes, inside its header', async (length) => {
    const file = await model.damaged('cut.gguf', (bytes) => bytes.subarray(0, length));
    const error = await failure(() => runJob(quantize({ ...run, model: file, output, home })));
    expect(error.kind).toBe('validation');
    expect(error.code).toMatch(/^GGUF_/);
    expect(await readdir(outputs)).toEqual([]);
  });

  test('cut inside its weights: the first tensor that is not whole is named', async () => {
    const file = await model.damaged('cut.gguf', (bytes) => bytes.subarray(0, bytes.length - 1));
    await expectRefused(
      { model: file },
      { kind: 'validation', code: 'GGUF_TENSOR_OUTSIDE', message: /tensor "[\w.]+" ends after the file/ },
    );
  });

  const flips: readonly (readonly [string, number, string])[] = [
    ['magic number', 0, 'GGUF_MAGIC'],
    ['version', 4, 'GGUF_VERSION'],
    ['number of tensors', 15, 'GGUF_COUNT'],
    ['number of keys', 22, 'GGUF_COUNT'],
    ['length of a key', 30, 'GGUF_STRING_LENGTH'],
  ];
  test.each(flips)('a bit flipped in its %s', async (_what, offset, code) => {
    const file = await model.damaged('flipped.gguf', (bytes) => void (bytes[offset] ^= 0x40));
    const error = await failure(() => runJob(quantize({ ...run, model: file, output, home })));
    expect(error.code).toBe(code);
    expect(await readdir(outputs)).toEqual([]);
  });

  test('bits flipped anywhere in its header: a typed error or a sound run, never anything else', async () => {
    const random = randomFrom(7);
    const headerBytes = Math.min(...model.header.tensors.map(({ offset }) => offset));
    const codes = new Set<string>();
    for (let round = 0; round < 25; round++) {
      const at = Math.floor(random() * headerBytes);
      const bit = 1 << Math.floor(random() * 8);
      const file = await model.damaged('flipped.gguf', (bytes) => void (bytes[at] ^= bit));
      // An impossible size: what reads as a model is not run, whatever its tokens say by now.
      const error = await failure(() => runJob(quantize({ ...run, model: file, output, home, size: 1000 })));
      codes.add(error.code);
    }
    expect(codes).toContain('BUDGET_IMPOSSIBLE');
    expect(codes.size).toBeGreaterThan(1);
    expect(await readdir(outputs)).toEqual([]);
  });
});

describe('weights that no run survives', () => {
  // Tokens that no text holds, heads behind every activation, a tensor that is kept: only the weight itself tells.
  test.each([
    ['output.weight', 4001, 3, 0x7fc0],
    ['token_embd.weight', 4000, 0, 0xff80],
    ['blk.7.ffn_down.weight', 255, 767, 0x7f80],
  ])('not a number in %s, row %d, column %d', { timeout: 120_000 }, async (tensor, row, column, bits) => {
    const at = model.placeOf(tensor, row, column);
    const file = await model.damaged('broken.gguf', (bytes) => void bytes.writeUInt16LE(bits, at));
    const message = new RegExp(`in ${tensor}, row ${row}, column ${column}$`);
    await expectRefused({ model: file }, { kind: 'validation', code: 'WEIGHT_NOT_FINITE', message });
  });

  test('too large for every scheme but floats: the tensor is named, with what keeps it', async () => {
    const at = model.placeOf('token_embd.weight', 4000, 3);
    const file = await model.damaged('large.gguf', (bytes) => void bytes.writeUInt16LE(0x7f00, at));
    const job = quantize({ ...run, model: file, output, home });
    const error = await failure(() => runJob(job));
    expect(error).toMatchObject({ kind: 'validation', code: 'WEIGHT_TOO_LARGE' });
    expect(error.message).toMatch(/that \w+ can hold in token_embd\.weight, rows \d+ to \d+/);
    expect(error.suggestion).toContain(String.raw`--lock '^token_embd\.weight$=keep'`);
  });
});

describe('texts', () => {
  test('of white space', async () => {
    const text = path.join(root, 'empty.txt');
    await writeFile(text, '\n \n');
    await expectRefused({ text }, { kind: 'calibration-text', code: 'TEXT_EMPTY', message: /empty\.txt/ });
  });

  test('shorter than a context', async () => {
    const text = path.join(root, 'short.txt');
    await writeFile(text, 'A sentence is no text.\n\nTwo are none.\n');
    await expectRefused(
      { text },
      {
        kind: 'calibration-text',
        code: 'TEXT_TOO_SHORT',
        message: /at least 32 tokens .* in short\.txt .* found/,
      },
    );
  });

  test('that are not there', async () => {
    await expectRefused(
      { text: path.join(root, 'absent.txt') },
      { kind: 'model-not-found', code: 'FILE_NOT_FOUND', message: /absent\.txt/ },
    );
  });
});

describe('wishes that cannot be met fail before anything is measured', () => {
  test.each([
    ['a size below the smallest', { size: 1000 }, 'budget-impossible', 'BUDGET_IMPOSSIBLE'],
    ['a size beside the locks', { size: '11MB' }, 'budget-impossible', 'BUDGET_IMPOSSIBLE'],
    ['a context beyond the model', { contextTokens: 257 }, 'arguments', 'CONTEXT_INVALID'],
    ['more threads than cores', { threads: 4096 }, 'arguments', 'THREADS_INVALID'],
  ] as const)('%s', async (_what, options, kind, code) => {
    await expectRefused(options, { kind, code });
  });

  test('the message names the smallest size that is possible', async () => {
    const error = await failure(() => runJob(quantize({ ...run, model: source, output, home, size: 1000 })));
    const smallest = Number(
      /smallest possible is ([\d,]+) bytes/.exec(error.message)?.[1].replaceAll(',', ''),
    );
    expect(smallest).toBeGreaterThan(5_000_000);
    const next = quantize({ ...run, model: source, output, home, size: smallest });
    const begun = await next.next();
    expect(begun.value).toMatchObject({ type: 'stage-start', stage: 'calibrate' });
    await next.return(undefined as never);
  });
});

describe('outputs that would cost the source', () => {
  const refusal = { kind: 'arguments', code: 'OUTPUT_IS_SOURCE' } as const;

  test('the source itself, by its name, another name, or through links', async () => {
    const linked = path.join(root, 'linked.gguf');
    await symlink(source, linked);
    await symlink(root, path.join(root, 'root'));
    for (const each of [source, path.join(root, 'outputs', '..', 'sound.gguf'), linked]) {
      await expectRefused({ output: each }, refusal);
    }
    await expectRefused({ output: path.join(root, 'root', 'sound.gguf') }, refusal);
    await expectRefused({ model: linked, output: source }, refusal);
  });
});

describe('outputs that cannot be written', () => {
  test('a folder that is not there, a file in its place, a folder as the file', async () => {
    const missing = { kind: 'arguments', code: 'FOLDER_NOT_FOUND' } as const;
    await expectRefused({ output: path.join(root, 'absent', 'small.gguf') }, missing);
    await expectRefused({ output: path.join(source, 'small.gguf') }, missing);
    await expectRefused({ output: outputs }, { kind: 'arguments', code: 'FILE_IS_FOLDER' });
  });

  test('a pipe, which renaming would replace', async ({ skip }) => {
    const pipe = path.join(root, 'pipe');
    if (spawnSync('mkfifo', [pipe]).status !== 0) skip('this system has no mkfifo');
    await expectRefused({ output: pipe }, { kind: 'arguments', code: 'OUTPUT_NOT_FILE' });
  });

  test('a folder without the right to write', async ({ skip }) => {
    if (process.getuid?.() === 0) skip('root may write everywhere; the read-only disk below stands for it');
    const folder = path.join(root, 'locked');
    await mkdir(folder);
    await chmod(folder, 0o555);
    await expectRefused(
      { output: path.join(folder, 'small.gguf') },
      { kind: 'resources', code: 'OUTPUT_READ_ONLY', message: /locked/ },
    );
  });

  test('a read-only disk', async ({ skip }) => {
    const mounted = await onDisk('size=1m,ro', async (folder) => {
      await expectRefused(
        { output: path.join(folder, 'small.gguf') },
        { kind: 'resources', code: 'OUTPUT_READ_ONLY' },
      );
    });
    if (!mounted) skip('mounting a disk takes root');
  });
});

describe('full disks', () => {
  const full = { kind: 'resources', code: 'DISK_FULL' } as const;

  test('under the output: said before the work of encoding', { timeout: 120_000 }, async ({ skip }) => {
    const mounted = await onDisk('size=4m', async (folder) => {
      const stages = ['calibrate', 'measure', 'measure', 'refine'];
      const message = /expected 1\d{7} bytes free on the disk of .*, found 4\d{6}/;
      await expectRefused({ output: path.join(folder, 'small.gguf') }, { ...full, message, stages });
      expect(await readdir(folder)).toEqual([]);
    });
    if (!mounted) skip('mounting a disk takes root');
  });

  test('under the store, at once or in the middle', { timeout: 120_000 }, async ({ skip }) => {
    for (const megabytes of [1, 20]) {
      const mounted = await onDisk(`size=${megabytes}m`, async (folder) => {
        const job = quantize({ ...run, model: orator, output, home: path.join(folder, 'home') });
        await expectFailure(() => runJob(job), full.kind, full.code);
      });
      if (!mounted) skip('mounting a disk takes root');
    }
    expect(await readdir(outputs)).not.toContain('small.gguf');
  });

  test('a limit on the size of files', { timeout: 120_000 }, async ({ skip }) => {
    if (process.platform === 'win32') skip('Windows has no limit on the size of files');
    const place = { home: path.join(root, 'limited'), output };
    const { ended } = startProgram(
      { ...run, model: orator, ...place },
      { shell: 'ulimit -f 4000; exec "$@"' },
    );
    expect((await ended).at(-1)).toMatchObject({ type: 'error', ...full });
    expect(await readdir(outputs)).not.toContain('small.gguf');
  });

  test('a store that refuses results in the middle is an error, not the end of the process', async () => {
    const place = path.join(root, 'refusing');
    const job = quantize({ ...run, model: source, output, home: place });
    const blocked: Promise<void>[] = [];
    const block = (event: RunEvent): void => {
      if (event.type === 'stage-start' && event.stage === 'measure') {
        blocked.push(writeFile(path.join(place, 'artifacts', 'gradient-price'), ''));
      }
    };
    await expectFailure(() => runJob(job, block), 'arguments', 'FOLDER_NOT_FOUND');
    await Promise.all(blocked);
  });
});

describe('too little memory', () => {
  test('an engine that the system ends is told as that', { timeout: 300_000 }, async ({ skip }) => {
    const group = '/sys/fs/cgroup/memory/bitsmith-test';
    const limited = await mkdir(group)
      // A page: an engine ends with the next one that it touches, before it asks for the limit and refuses to go on.
      .then(() => writeFile(path.join(group, 'memory.limit_in_bytes'), '4096'))
      .then(() => true)
      .catch(() => false);
    if (!limited) skip('limiting memory takes root and control groups of version 1');
    let starve: NodeJS.Timeout | undefined;
    // Engines only: which process of a group the system ends is its own choice.
    const starveEngines = (): void => {
      for (const child of childrenOf(program.child.pid as number)) {
        void appendFile(path.join(group, 'cgroup.procs'), String(child)).catch(() => undefined);
      }
    };
    const program = startProgram(
      { ...run, calibrationTokens: 1024, model: source, home, output },
      {
        onLine: (line) =>
          line.type === 'stage-start' &&
          line.stage === 'encode' &&
          (starve ??= setInterval(starveEngines, 20)),
      },
    );
    try {
      const lines = await program.ended;
      expect(lines.at(-1)).toMatchObject({ type: 'error', kind: 'resources', code: 'ENGINE_KILLED' });
      expect(await readdir(outputs)).not.toContain('small.gguf');
    } finally {
      clearInterval(starve);
      spawnSync('rmdir', [group]);
    }
  });
});
