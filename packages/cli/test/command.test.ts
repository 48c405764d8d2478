import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { methodTable } from '@bitsmith/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bitsmith, referenceModel, start } from './bitsmith.js';

let folder: string;
let home: string;

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'bitsmith-cli-'));
  home = path.join(folder, 'home');
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Whether GPU engines are packages of their own on this platform. */
const gpuPackages = process.arch === 'x64' && process.platform !== 'darwin';

function gpuInstalled(): boolean {
  const { resolve } = createRequire(import.meta.url);
  const platform = process.platform === 'win32' ? 'win-x64' : 'linux-x64';
  return ['cuda', 'vulkan'].some((backend) => {
    try {
      return resolve(`@node-llama-cpp/${platform}-${backend}`) !== '';
    } catch {
      return false;
    }
  });
}

const run = (...args: string[]) => bitsmith(args, { cwd: folder, home });

describe('help', () => {
  it('names every command, on stdout', async () => {
    const { code, stdout, stderr } = await run('--help');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const name of [
      'quantize',
      'inspect',
      'plan',
      'analyze',
      'evaluate',
      'convert',
      'profile',
      'cache',
    ]) {
      expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
    }
    expect(stdout).toMatchSnapshot();
  });

  const commands = ['quantize', 'inspect', 'plan', 'analyze', 'evaluate', 'convert', 'cache', 'cache ls'];
  const more = ['cache gc', 'profile', 'profile list', 'profile show', 'profile create', 'profile validate'];
  it.each(commands.concat(more))('of %s', async (command) => {
    const { code, stdout } = await run(...command.split(' '), '--help');
    expect(code).toBe(0);
    expect(stdout).toMatchSnapshot();
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('of analyze names every method that there is', async () => {
    const { stdout } = await run('analyze', '--help');
    for (const method of Object.keys(methodTable))
      expect(stdout).toMatch(new RegExp(`^  ${method} +\\w`, 'm'));
  });

  it('is what the bare command answers, and the version is a line', async () => {
    expect((await run()).stdout).toBe((await run('-h')).stdout);
    expect(await run('--version')).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^\d+\.\d+\.\d+\n$/),
    });
  });
});

describe('arguments that make no sense end with code 2 and say why', () => {
  it.each([
    [['quantise', 'x'], "unknown command 'quantise'; did you mean quantize?"],
    [['quantize', 'x', '--sise', '1GB'], 'unknown flag --sise; did you mean --size?'],
    [['quantize', 'x', '-q'], 'unknown flag -q'],
    [['quantize'], 'expected MODEL, found nothing'],
    [['quantize', 'x', 'y'], "expected 1 argument, found 'y' as one more"],
    [['quantize', 'x', '--size'], 'expected a value after --size'],
    [
      ['quantize', 'x', '--size', '1GB', '--threads', '0'],
      '--threads 0: expected a whole number of at least 1',
    ],
    [
      ['quantize', 'x', '--size', '1GB', '--seed', '1.5'],
      '--seed 1.5: expected a whole number of at least 0',
    ],
    [['quantize', referenceModel, '--size', 'large'], '--size large: expected'],
    [['quantize', referenceModel, '--bpw', '-3'], '--bpw -3: expected'],
    [['quantize', referenceModel], 'expected a budget, found none'],
    [
      ['quantize', referenceModel, '--plan', 'plan.yaml', '--bpw', '4'],
      'expected a plan file, a preset or a budget, found two of them: --bpw 4',
    ],
    [
      ['plan', referenceModel, '--pareto', '--bpw', '4'],
      'expected a curve of all budgets or one plan, found both: --pareto --bpw 4',
    ],
    [['plan', referenceModel, '--bpw', '4', '--plans', '3'], '--plans 3: expected --pareto beside it'],
    [['convert', 'x'], 'expected a value after --output'],
    [['analyze', referenceModel, '--method', 'rnt'], 'expected a method out of'],
    [['analyze', 'x', '--samples', '0'], '--samples 0: expected a whole number of at least 1'],
    [['analyze', 'x', '--coverage', '2'], '--coverage 2: expected a number above 0 and up to 1'],
    [['evaluate', 'x'], 'expected a file to hold against the source, found none'],
    [['cache', 'gc', '--older-than', 'never'], '--older-than never: expected a whole number'],
  ])('%j', async (args, message) => {
    const { code, stdout, stderr } = await run(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.replace(/\s+/g, ' ')).toContain(`Error: ${message}`);
  });
});

describe('profiles', () => {
  it('are kept, listed, shown, checked and refused by their lines', async () => {
    const listed = await run('profile', 'list', '--json');
    const names = (JSON.parse(listed.stdout) as { profiles: { name: string }[] }).profiles.map(
      ({ name }) => name,
    );
    expect(names).toEqual([
      'edge',
      'local',
      'cloud',
      'attention-high',
      'balanced',
      'compression-max',
      'quality-max',
    ]);

    const flags = ['--policy', 'balanced', '--bpw', '3.6', '--lock', 'token_embd=Q6_K'];
    const created = await run('profile', 'create', 'mine', ...flags);
    expect(created.code).toBe(0);
    const shown = await run('profile', 'show', 'mine');
    expect(shown.stdout).toContain('policy: balanced\nbudget:\n  bpw: 3.6\nlocks:\n  - token_embd=Q6_K\n');
    expect((await run('profile', 'list')).stdout).toMatch(/^ {2}mine +policy, budget, locks$/m);
    expect((await run('profile', 'create', 'mine')).code).toBe(13);

    await writeFile(path.join(folder, 'bad.yaml'), 'policy: balanced\nbudgt: 3\n');
    const bad = await run('profile', 'validate', 'bad.yaml', '--json');
    expect(bad.code).toBe(13);
    expect(JSON.parse(bad.stdout)).toMatchObject({
      errorType: 'PROFILE_KEY_UNKNOWN',
      message: "profile bad.yaml, line 2: unknown key 'budgt'",
      suggestion: expect.stringContaining('Did you mean budget?'),
    });
    expect((await run('plan', referenceModel, '--profile', 'bad.yaml')).code).toBe(13);
  });

  it('are held against a model', async () => {
    await run('profile', 'create', 'locked', '--lock', 'attn_v=Q6_K', '--force');
    const { code, stdout } = await run('profile', 'validate', 'locked', '--model', referenceModel, '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ fit: { locked: 8, open: 50, kept: 17 } });
    await run('profile', 'create', 'wrong', '--lock', 'nothing_like_it=Q6_K', '--force');
    expect((await run('profile', 'validate', 'wrong', '--model', referenceModel)).code).toBe(13);
  });
});

describe('failures', () => {
  it('have the exit code of their kind', async () => {
    expect((await run('inspect', 'nowhere.gguf')).code).toBe(3);
    await writeFile(path.join(folder, 'broken.gguf'), 'GGUF not really');
    expect((await run('inspect', 'broken.gguf')).code).toBe(6);
    expect((await run('quantize', referenceModel, '--size', '10kB')).code).toBe(17);
    expect((await run('quantize', referenceModel, '--size', '4MB', '--lock', 'attn=Q9_X')).code).toBe(13);
  });

  it.runIf(gpuPackages && !gpuInstalled())('of a GPU that nothing drives give the install line', async () => {
    const { code, stdout } = await run('evaluate', referenceModel, referenceModel, '--gpu', '--json');
    expect(code).toBe(18);
    expect(JSON.parse(stdout)).toMatchObject({
      errorType: 'ENGINE_GPU_NOT_INSTALLED',
      suggestion: expect.stringContaining('npm install @node-llama-cpp/'),
    });
  });

  it('are on stdout as JSON where that was asked for, and nothing else is', async () => {
    const { code, stdout, stderr } = await run('inspect', 'nowhere.gguf', '--json');
    expect(code).toBe(3);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toEqual({
      status: 'error',
      errorCode: 3,
      errorType: 'MODEL_NOT_FOUND',
      message: expect.stringContaining('nowhere.gguf'),
      suggestion: expect.any(String),
    });
  });

  it('of arguments are JSON too', async () => {
    const { code, stdout } = await run('quantize', 'x', '--json', '--sise', '3');
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({
      errorCode: 2,
      errorType: 'ARGUMENTS_INVALID',
      suggestion: 'See: bitsmith quantize --help',
    });
  });

  it('of the network name the server', async () => {
    const closed = createServer();
    await new Promise<void>((resolve) => closed.listen(0, '127.0.0.1', resolve));
    const { port } = closed.address() as { port: number };
    await new Promise((resolve) => closed.close(resolve));
    const env = { HF_ENDPOINT: `http://127.0.0.1:${port}` };
    const { code, stderr } = await bitsmith(['inspect', 'acme/tiny'], { cwd: folder, home, env });
    expect(code).toBe(1);
    expect(stderr).toContain(`could not reach http://127.0.0.1:${port}`);
  });
});

describe('inspect', () => {
  it('prints a table on stdout and one line for each stage on stderr', async () => {
    const fresh = { cwd: folder, home: path.join(folder, 'inspect-home') };
    const { code, stdout, stderr } = await bitsmith(['inspect', referenceModel], fresh);
    expect(code).toBe(0);
    expect(stdout.replace(referenceModel, 'MODEL')).toMatchSnapshot();
    expect(stderr).toMatch(/^✓ Convert .* 75 tensors\n$/);
    const again = await bitsmith(['inspect', referenceModel, '--quiet'], fresh);
    expect(again).toEqual({ code: 0, stdout, stderr: '' });
  });

  it('lists every tensor on request', async () => {
    const { stdout } = await run('inspect', referenceModel, '--tensors');
    expect(stdout).toMatch(/blk\.7\.ffn_down\.weight +mlp-down +BF16 +768 × 256 +393,216$/m);
  });

  it('prints JSON without a vocabulary in it', async () => {
    const { stdout } = await run('inspect', referenceModel, '--json');
    const model = JSON.parse(stdout) as { tensors: object[]; metadata: Record<string, unknown> };
    expect(model).toMatchObject({ status: 'success', architecture: 'llama', parameterCount: 8_392_960 });
    expect(model.tensors).toHaveLength(75);
    expect(model.metadata['llama.block_count']).toBe(8);
    expect(model.metadata['tokenizer.ggml.tokens']).toEqual({
      type: 'array',
      itemType: 'string',
      length: 4096,
    });
  });
});

describe('convert and cache', () => {
  it('write where they are told and show what is kept', async () => {
    const { code, stdout } = await run('convert', referenceModel, '-o', 'converted.gguf', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      status: 'success',
      path: path.join(folder, 'converted.gguf'),
    });
    const listed = JSON.parse((await run('cache', 'ls', '--json')).stdout) as {
      home: string;
      artifacts: unknown[];
    };
    expect(listed.home).toBe(home);
    expect(listed.artifacts.length).toBeGreaterThan(0);
    expect((await run('cache', 'ls')).stdout).toMatch(/ {2}source +1 +16\.9 MB +today/);
    expect((await run('cache', 'gc', '--older-than', '0', '--dry-run')).stdout).toMatch(
      /^\d+ artifacts, 16\.9 MB would be deleted\n$/,
    );
    const gone = await bitsmith(['cache', 'gc', '--older-than', '0'], { cwd: folder, home });
    expect(gone.stdout).toMatch(/^deleted \d+ artifacts, 16\.9 MB\n$/);
    expect((await run('cache', 'ls')).stdout).toContain('0 artifacts, 0 bytes');
  });
});

describe('a signal', () => {
  it.runIf(process.platform !== 'win32').each(['SIGINT', 'SIGTERM'] as const)(
    '%s stops a run cleanly with code 9, and nothing half-written stays',
    async (signal) => {
      const work = await mkdtemp(path.join(folder, 'stop-'));
      const args = ['quantize', referenceModel, '--size', '4.5MB', '-o', 'out.gguf'];
      const running = start(args, { cwd: work, home: path.join(work, 'home') });
      await running.saying('Convert');
      running.child.kill(signal);
      const { code, stdout, stderr } = await running.outcome;
      expect({ code, stdout }).toEqual({ code: 9, stdout: '' });
      expect(stderr).toContain(`stopped by ${signal}`);
      expect(stderr).toContain('the same command continues from there');
      expect(await readdir(work)).toEqual(['home']);
    },
  );

  it.runIf(process.platform !== 'win32')('is JSON where that was asked for', async () => {
    const work = await mkdtemp(path.join(folder, 'stop-'));
    const args = ['quantize', referenceModel, '--size', '4.5MB', '--json'];
    const running = start(args, { cwd: work, home: path.join(work, 'home') });
    await running.saying('Convert');
    running.child.kill('SIGINT');
    const { code, stdout } = await running.outcome;
    expect(code).toBe(9);
    expect(JSON.parse(stdout)).toMatchObject({ status: 'error', errorCode: 9, errorType: 'CANCELLED' });
  });
});
