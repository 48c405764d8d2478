/**
 * @file Makes a fresh clone runnable: installs the locked dependencies when they are missing or stale, then builds.
 * Plain JavaScript without dependencies, because it runs before there are any.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const lock = path.join(root, 'package-lock.json');
const stamp = path.join(root, 'node_modules', '.bitsmith-setup');
const windows = process.platform === 'win32';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  stop(`Bitsmith needs Node 20.19 or newer; this is ${process.versions.node}.`);
}

const wanted = createHash('sha256').update(readFileSync(lock)).digest('hex');
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  console.error('Installing dependencies ...');
  const words = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  run(windows ? 'npm.cmd' : 'npm', words, 'The dependencies could not be installed.');
  writeFileSync(stamp, wanted);
}
console.error('Building ...');
const compiler = path.join(root, 'node_modules', 'typescript', 'bin', 'tsc');
run(process.execPath, [compiler, '-b'], 'The build failed.');

/** Runs a command with its output on stderr; ends this one where it fails. */
function run(command, words, complaint) {
  const shell = command.endsWith('.cmd');
  const { status, error } = spawnSync(command, words, { cwd: root, stdio: ['ignore', 2, 2], shell });
  if (status !== 0) stop(`${complaint}${error === undefined ? '' : ` ${error.message}`}`);
}

function stop(message) {
  console.error(message);
  process.exit(1);
}
