import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { gpuNoDevice, locateGpuEngine } from '../src/binding/gpu.js';
import { engineRelease, type PackageResolver } from '../src/binding/platform.js';
import { LlamaModel, loadEngine } from '../src/index.js';
import { temporaryFolder } from './support/tiny-model.js';

const folder = temporaryFolder();
afterAll(() => folder.remove());

const linuxFiles = (backend: string): string[] => [
  'libggml-base.so',
  `libggml.${backend}.v0.4.0.so`,
  `libllama.${backend}.v0.4.0.so`,
];
const windowsFiles = (backend: string): string[] => [
  'ggml-base.dll',
  `ggml.${backend}.v0.4.0.dll`,
  `llama.${backend}.v0.4.0.dll`,
];

/** Package folders as npm would install them: `bins` folder and files by the last part of the name. */
function installed(
  test: string,
  packages: Readonly<Record<string, { bins: string; files: readonly string[]; version?: string }>>,
): PackageResolver {
  const root = folder.at(test);
  for (const [name, { bins, files, version = engineRelease }] of Object.entries(packages)) {
    for (const file of files) {
      const target = path.join(root, name, 'bins', bins, file);
      mkdirSync(path.dirname(target), { recursive: true });
      writeFileSync(target, '');
    }
    writeFileSync(path.join(root, name, 'package.json'), JSON.stringify({ version }));
  }
  return (packageName) => {
    const name = packageName.replace('@node-llama-cpp/', '');
    if (packages[name] === undefined) throw new Error('Cannot find package');
    return path.join(root, name, 'dist', 'index.js');
  };
}

const cuda = { bins: 'linux-x64-cuda', files: linuxFiles('cuda') };
const cudaExtension = { bins: 'linux-x64-cuda', files: ['fallback/libggml-cuda.so'] };
const vulkan = { bins: 'linux-x64-vulkan', files: linuxFiles('vulkan') };

describe('locateGpuEngine', () => {
  it("takes CUDA's package before Vulkan's, and its libraries", () => {
    const resolve = installed('both', { 'linux-x64-cuda': cuda, 'linux-x64-vulkan': vulkan });
    const directory = folder.at('both/linux-x64-cuda/bins/linux-x64-cuda');
    expect(locateGpuEngine('linux-x64', resolve)).toEqual({
      platform: 'linux-x64',
      packageName: '@node-llama-cpp/linux-x64-cuda',
      version: engineRelease,
      directory,
      base: path.join(directory, 'libggml-base.so'),
      ggml: path.join(directory, 'libggml.cuda.v0.4.0.so'),
      llama: path.join(directory, 'libllama.cuda.v0.4.0.so'),
      gpu: 'cuda',
      fallbackDirectory: null,
    });
  });

  it("knows CUDA's older build where its package is installed too", () => {
    const resolve = installed('extended', { 'linux-x64-cuda': cuda, 'linux-x64-cuda-ext': cudaExtension });
    expect(locateGpuEngine('linux-x64', resolve).fallbackDirectory).toBe(
      folder.at('extended/linux-x64-cuda-ext/bins/linux-x64-cuda/fallback'),
    );
  });

  it("passes over another release's package", () => {
    const resolve = installed('older', {
      'linux-x64-cuda': { ...cuda, version: '3.22.1' },
      'linux-x64-vulkan': vulkan,
    });
    expect(locateGpuEngine('linux-x64', resolve)).toMatchObject({ gpu: 'vulkan' });
  });

  it('finds the libraries of Windows, and Metal in the plain package of macOS', () => {
    const windows = { bins: 'win-x64-vulkan', files: windowsFiles('vulkan') };
    expect(locateGpuEngine('win-x64', installed('windows', { 'win-x64-vulkan': windows }))).toMatchObject({
      gpu: 'vulkan',
      packageName: '@node-llama-cpp/win-x64-vulkan',
    });
    const mac = {
      bins: 'mac-arm64-metal',
      files: ['libggml-base.dylib', 'libggml.metal.v0.4.0.dylib', 'libllama.metal.v0.4.0.dylib'],
    };
    expect(locateGpuEngine('mac-arm64-metal', installed('mac', { 'mac-arm64-metal': mac }))).toMatchObject({
      gpu: 'metal',
      packageName: '@node-llama-cpp/mac-arm64-metal',
    });
  });

  it('gives the install lines when none is installed', () => {
    expect(() => locateGpuEngine('win-x64', installed('none', {}))).toThrow(
      expect.objectContaining({
        kind: 'engine',
        code: 'ENGINE_GPU_NOT_INSTALLED',
        suggestion: [
          `npm install @node-llama-cpp/win-x64-cuda@${engineRelease}   # NVIDIA`,
          `npm install @node-llama-cpp/win-x64-vulkan@${engineRelease}   # any GPU with a Vulkan driver`,
        ].join('\n'),
      }),
    );
    const resolve = installed('wrong', { 'linux-x64-cuda': { ...cuda, version: '3.22.1' } });
    expect(() => locateGpuEngine('linux-x64', resolve)).toThrow(
      '@node-llama-cpp/linux-x64-cuda: found version 3.22.1; @node-llama-cpp/linux-x64-vulkan: found no such package',
    );
  });

  it.each(['linux-arm64', 'mac-x64', 'win-arm64'] as const)('says that %s has no GPU engine', (platform) => {
    expect(() => locateGpuEngine(platform, installed('unsupported', {}))).toThrow(
      expect.objectContaining({ kind: 'unsupported', code: 'ENGINE_GPU_UNSUPPORTED' }),
    );
  });
});

describe('gpuNoDevice', () => {
  it('says what the backend lacks', () => {
    const packages = { 'linux-x64-cuda': cuda, 'linux-x64-cuda-ext': cudaExtension };
    const whole = gpuNoDevice(locateGpuEngine('linux-x64', installed('nodevice', packages)));
    expect(whole).toMatchObject({ kind: 'engine', code: 'ENGINE_GPU_NO_DEVICE' });
    expect(whole.message).toContain('@node-llama-cpp/linux-x64-cuda');
    expect(whole.suggestion).not.toContain('-ext');
    const bare = gpuNoDevice(locateGpuEngine('linux-x64', installed('bare', { 'linux-x64-cuda': cuda })));
    expect(bare.suggestion).toContain(`npm install @node-llama-cpp/linux-x64-cuda-ext@${engineRelease}`);
  });
});

describe('an engine for the CPU alone', () => {
  const engine = loadEngine({ threads: 1 });

  it('describes no GPU', () => {
    expect(engine.description.gpu).toBeUndefined();
  });

  it('is never taken for one with a GPU', async () => {
    const refusal = expect.objectContaining({ code: 'ENGINE_GPU_NOT_LOADED' }) as Error;
    expect(() => loadEngine({ gpu: true })).toThrow(refusal);
    await expect(LlamaModel.open(engine, 'any.gguf', { gpuLayers: 1 })).rejects.toEqual(refusal);
  });
});
