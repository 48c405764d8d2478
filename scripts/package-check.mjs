/**
 * @file Checks the packages as they would be published: packs each, lints it, looks at every file in it, then installs all of
 * them together into an empty folder and uses them there. Also: the lock file has every platform's binaries, and every dependency
 * is explained.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const windows = process.platform === 'win32';
const problems = [];

/** Every file of a package must be one of these; the second list must all be there. */
const common = [/^package\.json$/, /^LICENSE$/, /^dist\/(?:[\w-]+\/)*[\w-]+\.(?:js|d\.ts|js\.map)$/];
const contents = {
  '@bitsmith/formats': { extra: [], required: ['dist/index.js', 'dist/index.d.ts'] },
  '@bitsmith/ggml': {
    extra: [/^NOTICE$/],
    required: ['NOTICE', 'dist/index.js', 'dist/probe.js', 'dist/probe-child.js'],
  },
  '@bitsmith/core': {
    extra: [/^NOTICE$/, /^text\/\w+\.txt$/],
    required: [
      'NOTICE',
      'dist/index.js',
      'dist/engine/main.js',
      ...['calibration', 'search', 'report'].map((part) => `text/${part}.txt`),
    ],
  },
  bitsmith: {
    extra: [/^README\.md$/, /^bin\/bitsmith\.js$/],
    required: ['README.md', 'bin/bitsmith.js', 'dist/index.js', 'dist/main.js'],
  },
};

/** Runs npm and returns what it says on stdout; what it says on stderr only when it fails. */
function npm(args, cwd) {
  const { status, stdout, stderr } = spawnSync(windows ? 'npm.cmd' : 'npm', [...args, '--loglevel=error'], {
    cwd,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    shell: windows,
    maxBuffer: 64 * 2 ** 20,
  });
  if (status === 0) return stdout;
  console.error(stderr);
  throw new Error(`npm ${args.join(' ')} failed in ${cwd}`);
}

function workspaces() {
  return readdirSync(path.join(root, 'packages')).map((name) => {
    const folder = path.join(root, 'packages', name);
    return { folder, manifest: JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')) };
  });
}

/** Lifecycle scripts are off in this repository, but packing needs prepack and postpack. */
function pack(folder, destination) {
  const output = npm(['pack', '--json', '--ignore-scripts=false', '--pack-destination', destination], folder);
  return JSON.parse(output.slice(output.indexOf('[\n')))[0];
}

function checkContents(name, files) {
  const expected = contents[name];
  if (expected === undefined) {
    problems.push(`${name}: a package that this check does not know; say what it may contain`);
    return;
  }
  for (const file of files) {
    if (![...common, ...expected.extra].some((pattern) => pattern.test(file)))
      problems.push(`${name}: ${file} does not belong in the package`);
  }
  for (const file of ['LICENSE', ...expected.required])
    if (!files.includes(file)) problems.push(`${name}: ${file} is missing from the package`);
}

/** A module of `dist` without its source is left over from before a rename. */
function checkLeftovers(name, folder, files) {
  const sources = new Set(readdirSync(path.join(folder, 'src'), { recursive: true }).map(String));
  for (const file of files) {
    if (!file.startsWith('dist/') || !file.endsWith('.js')) continue;
    const source = path.join(...file.slice('dist/'.length, -'.js'.length).split('/'));
    if (!sources.has(`${source}.ts`))
      problems.push(`${name}: ${file} has no source; build from a clean tree`);
  }
}

async function lint(archive) {
  const tarball = Uint8Array.from(readFileSync(archive)).buffer;
  const { messages, pkg } = await publint({ strict: true, pack: { tarball } });
  for (const message of messages)
    problems.push(`${pkg.name}: ${formatMessage(message, pkg, { color: false })}`);
}

/** What a stranger gets: the packages installed from their archives, without this repository around them. */
function useInstalled(archives, folder) {
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'package.json'), '{"private": true, "type": "module"}\n');
  npm(['install', '--ignore-scripts', '--no-audit', '--no-fund', ...archives], folder);
  writeFileSync(path.join(folder, 'use.mjs'), useScript);
  execFileSync(process.execPath, ['use.mjs', path.join(root, 'models', 'orator-8m')], {
    cwd: folder,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
}

const useScript = `
import { execFileSync } from 'node:child_process';
import { finish, loadCorpus, plan } from 'bitsmith';

const [model] = process.argv.slice(2);
const corpus = await loadCorpus();
if (Object.values(corpus).some(({ content }) => content.length < 100_000)) throw new Error('the bundled texts are not whole');
const made = await finish(plan({ model, ratio: 2, calibrationTokens: 256, probeTokens: 256 }));
console.log(\`installed: planned \${made.tensors.length} tensors, \${made.predicted.bytes} bytes\`);
const command = process.platform === 'win32' ? 'node_modules\\\\.bin\\\\bitsmith.cmd' : 'node_modules/.bin/bitsmith';
const version = execFileSync(command, ['--version'], { encoding: 'utf8', shell: process.platform === 'win32' });
console.log(\`installed: bitsmith \${version.trim()}\`);
`;

/** npm drops what a registry could not serve when the lock was written; other platforms then cannot install. */
function checkLock() {
  const { packages } = JSON.parse(readFileSync(path.join(root, 'package-lock.json'), 'utf8'));
  const locked = new Set(Object.keys(packages).map((key) => key.replace(/^.*node_modules\//, '')));
  for (const [key, { optionalDependencies = {} }] of Object.entries(packages)) {
    for (const name of Object.keys(optionalDependencies))
      if (!locked.has(name))
        problems.push(`package-lock.json: ${key} needs ${name} on some platform, and it is not locked`);
  }
}

/** `@scope/name-a`, `-b` in one row stand for all of them. */
function checkDocumented(manifests) {
  const documented = readFileSync(path.join(root, 'docs', 'dependencies.md'), 'utf8');
  for (const manifest of manifests) {
    const { dependencies, devDependencies, optionalDependencies } = manifest;
    for (const name of Object.keys({ ...dependencies, ...devDependencies, ...optionalDependencies })) {
      const own = name in contents;
      const shortened = `\`-${name.replace(/^@node-llama-cpp\//, '')}\``;
      if (!own && !documented.includes(`\`${name}\``) && !documented.includes(shortened))
        problems.push(`docs/dependencies.md: does not say why ${name} is needed`);
    }
  }
}

const scratch = mkdtempSync(path.join(os.tmpdir(), 'bitsmith-packages-'));
try {
  const archives = [];
  for (const { folder, manifest } of workspaces()) {
    const packed = pack(folder, scratch);
    const files = packed.files.map((file) => file.path);
    const archive = path.join(scratch, packed.filename);
    archives.push(archive);
    console.log(`${manifest.name}: ${files.length} files, ${packed.size} bytes packed`);
    checkContents(manifest.name, files);
    checkLeftovers(manifest.name, folder, files);
    await lint(archive);
  }
  checkLock();
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  checkDocumented([manifest, ...workspaces().map((workspace) => workspace.manifest)]);
  if (problems.length === 0) useInstalled(archives, path.join(scratch, 'use'));
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
