import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  cpuLevelOf,
  enginePlatform,
  engineRelease,
  libraryNames,
  locateEngine,
  unsupportedLibc,
} from '../src/binding/platform.js';
import { temporaryFolder } from './support/tiny-model.js';

const folder = temporaryFolder();
afterAll(() => folder.remove());

describe('enginePlatform', () => {
  it.each([
    ['linux', 'x64', 'linux-x64'],
    ['linux', 'arm64', 'linux-arm64'],
    ['darwin', 'arm64', 'mac-arm64-metal'],
    ['darwin', 'x64', 'mac-x64'],
    ['win32', 'x64', 'win-x64'],
    ['win32', 'arm64', 'win-arm64'],
  ])('names the package of %s %s', (os, architecture, platform) => {
    expect(enginePlatform(os, architecture)).toBe(platform);
  });

  it('refuses platforms without an engine', () => {
    expect(() => enginePlatform('freebsd', 'x64')).toThrow(
      expect.objectContaining({ kind: 'unsupported', code: 'ENGINE_UNSUPPORTED_PLATFORM' }),
    );
  });
});

describe('locateEngine', () => {
  /** A package folder as npm would install it. */
  function install(name: string, version: string, files: readonly string[]): () => string {
    const root = folder.at(name);
    mkdirSync(path.join(root, 'dist'), { recursive: true });
    mkdirSync(path.join(root, 'bins', 'win-arm64'), { recursive: true });
    writeFileSync(path.join(root, 'package.json'), JSON.stringify({ version }));
    for (const file of files) writeFileSync(path.join(root, 'bins', 'win-arm64', file), '');
    return () => path.join(root, 'dist', 'index.js');
  }
  const names = libraryNames('win-arm64');

  it('finds an installed package', () => {
    const resolve = install('whole', engineRelease, Object.values(names));
    expect(locateEngine('win-arm64', resolve)).toMatchObject({
      packageName: '@node-llama-cpp/win-arm64',
      version: engineRelease,
      directory: folder.at(path.join('whole', 'bins', 'win-arm64')),
    });
  });

  it('gives the install line of a missing package', () => {
    const resolve = (): string => {
      throw new Error('Cannot find package');
    };
    expect(() => locateEngine('linux-arm64', resolve)).toThrow(
      expect.objectContaining({
        kind: 'engine',
        code: 'ENGINE_NOT_INSTALLED',
        suggestion: `npm install @node-llama-cpp/linux-arm64@${engineRelease}`,
      }),
    );
  });

  it('refuses another release and an incomplete package', () => {
    expect(() => locateEngine('win-arm64', install('other', '3.22.1', Object.values(names)))).toThrow(
      `expected the engine package @node-llama-cpp/win-arm64 ${engineRelease}, found version 3.22.1`,
    );
    expect(() => locateEngine('win-arm64', install('partial', engineRelease, [names.base]))).toThrow(
      `found it without its file ${names.ggml}`,
    );
  });

  it('says that musl is the reason where it is', () => {
    expect(unsupportedLibc(undefined, true)).toMatchObject({
      kind: 'unsupported',
      code: 'ENGINE_UNSUPPORTED_LIBC',
    });
  });
});

describe('cpuLevelOf', () => {
  it.each([
    ['/x/libggml-cpu-haswell.so', 'haswell'],
    ['libggml-cpu-armv8.2_1.so', 'armv8.2_1'],
    ['ggml-cpu.dll', 'default'],
    ['libggml-base.so', null],
  ])('reads %s as %s', (file, level) => {
    expect(cpuLevelOf(file)).toBe(level);
  });
});
