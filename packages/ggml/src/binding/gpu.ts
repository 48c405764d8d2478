/**
 * @file Which npm package carries a GPU engine for this machine. Such a package is a whole engine, its own build of llama
 * beside the very CPU libraries of the plain package, so it takes the plain one's place. It is hundreds of megabytes, and
 * therefore never a dependency: who wants one installs it.
 */
import { BitsmithError } from '@bitsmith/formats';
import { join } from 'node:path';
import {
  enginePlatform,
  engineRelease,
  findPackage,
  libraryNames,
  located,
  resolveInstalled,
  unsupportedLibc,
  type EngineLocation,
  type EnginePlatform,
  type GpuBackend,
  type PackageResolver,
} from './platform.js';

export interface GpuEngineLocation extends EngineLocation {
  readonly gpu: GpuBackend;
  /** A folder with another build of the backend, for a system that the first does not suit; null without one. */
  readonly fallbackDirectory: string | null;
}

/** The backends that packages exist for, the one to prefer first. */
function gpuBackends(platform: EnginePlatform): readonly GpuBackend[] {
  switch (platform) {
    case 'linux-x64':
    case 'win-x64':
      return ['cuda', 'vulkan'];
    case 'mac-arm64-metal':
      return ['metal'];
    case 'linux-arm64':
    case 'mac-x64':
    case 'win-arm64':
      return [];
    default:
      return platform satisfies never;
  }
}

/** The folder in a package, and the last part of its name. Metal is in the plain package. */
function folderOf(platform: EnginePlatform, backend: GpuBackend): string {
  return backend === 'metal' ? platform : `${platform}-${backend}`;
}

function packageOf(platform: EnginePlatform, backend: GpuBackend): string {
  return `@node-llama-cpp/${folderOf(platform, backend)}`;
}

/**
 * Finds the installed GPU engine of this platform: CUDA's, or else Vulkan's; Metal on Apple's processors.
 * @throws BitsmithError `ENGINE_GPU_NOT_INSTALLED` with the install lines, `ENGINE_GPU_UNSUPPORTED` where no package
 *   exists, `ENGINE_UNSUPPORTED_PLATFORM`, `ENGINE_UNSUPPORTED_LIBC`
 */
export function locateGpuEngine(
  platform: EnginePlatform = enginePlatform(),
  resolve: PackageResolver = resolveInstalled,
): GpuEngineLocation {
  const problems: string[] = [];
  for (const gpu of gpuBackends(platform)) {
    const packageName = packageOf(platform, gpu);
    const folder = folderOf(platform, gpu);
    const names = libraryNames(platform, gpu);
    const search = findPackage(packageName, folder, Object.values(names), resolve);
    if ('directory' in search) {
      const fallbackDirectory = gpu === 'cuda' ? olderCuda(folder, resolve) : null;
      return { platform, packageName, ...located(search.directory, names), gpu, fallbackDirectory };
    }
    problems.push(`${packageName}: ${search.problem}`);
  }
  throw unsupportedLibc() ?? notInstalled(platform, problems.join('; '));
}

/** CUDA's extension package holds one library, built for the runtime of CUDA 12; the main one needs CUDA 13. */
function olderCuda(folder: string, resolve: PackageResolver): string | null {
  const search = findPackage(`@node-llama-cpp/${folder}-ext`, folder, ['fallback'], resolve);
  return 'directory' in search ? join(search.directory, 'fallback') : null;
}

function notInstalled(platform: EnginePlatform, found: string): BitsmithError {
  const backends = gpuBackends(platform);
  if (backends.length === 0) {
    return new BitsmithError(
      'unsupported',
      'ENGINE_GPU_UNSUPPORTED',
      `expected a platform that a GPU engine is built for, found ${platform}`,
      { found: platform, suggestion: 'Run on the CPU, without asking for the GPU.' },
    );
  }
  const expected = backends.map((gpu) => `${packageOf(platform, gpu)}@${engineRelease}`).join(' or ');
  return new BitsmithError(
    'engine',
    'ENGINE_GPU_NOT_INSTALLED',
    `expected an installed GPU engine, ${expected}, found none (${found})`,
    {
      expected,
      found,
      suggestion: backends.map((gpu) => `${installLine(platform, gpu)}   # ${madeFor[gpu]}`).join('\n'),
    },
  );
}

function installLine(platform: EnginePlatform, gpu: GpuBackend): string {
  return `npm install ${packageOf(platform, gpu)}@${engineRelease}`;
}

const madeFor: Readonly<Record<GpuBackend, string>> = {
  cuda: 'NVIDIA',
  vulkan: 'any GPU with a Vulkan driver',
  metal: 'Apple',
};

/** What the user sees when the GPU engine sees no GPU. */
export function gpuNoDevice(location: GpuEngineLocation): BitsmithError {
  return new BitsmithError(
    'engine',
    'ENGINE_GPU_NO_DEVICE',
    `expected a GPU that ${location.packageName} can use, found none`,
    { suggestion: `${remedy(location)} Or run on the CPU, without asking for the GPU.` },
  );
}

function remedy({ platform, packageName, gpu, fallbackDirectory }: GpuEngineLocation): string {
  switch (gpu) {
    case 'cuda':
      return [
        "Install NVIDIA's driver and the runtime of CUDA 13 (cudart, cublas).",
        ...(fallbackDirectory === null
          ? [`With CUDA 12: npm install ${packageName}-ext@${engineRelease}`]
          : []),
        `Without an NVIDIA GPU: npm uninstall ${packageName}, then ${installLine(platform, 'vulkan')}`,
      ].join('\n');
    case 'vulkan':
      return "Install the GPU's Vulkan driver and the Vulkan loader (`vulkaninfo` shows what they see).";
    case 'metal':
      return 'Metal needs the GPU itself, which most virtual machines do not have.';
    default:
      return gpu satisfies never;
  }
}
