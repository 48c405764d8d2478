/**
 * @file Which npm package carries the engine's libraries for this machine, and where its files lie. The libraries are
 * llama.cpp's own, prebuilt; one release exists for all six platforms and is the only one the layouts here describe.
 */
import { BitsmithError } from '@bitsmith/formats';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';

/** The release of the platform packages that the struct layouts of this binding were derived from. */
export const engineRelease = '3.21.1';
/** The llama.cpp commit that release was built from, as its libraries report it; and the release in their file names. */
export const engineCommit = '5b4ebc5';
const llamaRelease = 'v0.4.0';

export type EnginePlatform =
  | 'linux-x64'
  | 'linux-arm64'
  | 'mac-arm64-metal'
  | 'mac-x64'
  | 'win-x64'
  | 'win-arm64';

/** What computes on a GPU. */
export type GpuBackend = 'cuda' | 'vulkan' | 'metal';

const platformByHost: Readonly<Record<string, EnginePlatform>> = {
  'linux-x64': 'linux-x64',
  'linux-arm64': 'linux-arm64',
  'darwin-arm64': 'mac-arm64-metal',
  'darwin-x64': 'mac-x64',
  'win32-x64': 'win-x64',
  'win32-arm64': 'win-arm64',
};

/** File names inside a platform package; `llama` depends on `ggml`, which depends on `base`. */
interface LibraryNames {
  readonly base: string;
  readonly ggml: string;
  readonly llama: string;
}

export interface EngineLocation {
  readonly platform: EnginePlatform;
  readonly packageName: string;
  readonly version: string;
  /** The folder that holds the libraries. */
  readonly directory: string;
  readonly base: string;
  readonly ggml: string;
  readonly llama: string;
}

/** Names the engine platform of a host. @throws BitsmithError `ENGINE_UNSUPPORTED_PLATFORM` */
export function enginePlatform(
  os: string = process.platform,
  architecture: string = process.arch,
): EnginePlatform {
  const platform = platformByHost[`${os}-${architecture}`];
  if (platform === undefined) {
    throw new BitsmithError(
      'unsupported',
      'ENGINE_UNSUPPORTED_PLATFORM',
      `expected one of ${Object.keys(platformByHost).join(', ')}, found ${os}-${architecture}: the engine is not built for it`,
      { suggestion: 'Run on one of the supported platforms.' },
    );
  }
  return platform;
}

/** @param gpu the backend of a GPU package; without it the names are those of the plain one */
export function libraryNames(platform: EnginePlatform, gpu?: GpuBackend): LibraryNames {
  const build = gpu === undefined ? llamaRelease : `${gpu}.${llamaRelease}`;
  switch (platform) {
    case 'linux-x64':
    case 'linux-arm64':
      return {
        base: 'libggml-base.so',
        ggml: `libggml.${build}.so`,
        llama: `libllama.${build}.so`,
      };
    case 'mac-x64':
      return {
        base: 'libggml-base.dylib',
        ggml: `libggml.${llamaRelease}.dylib`,
        llama: `libllama.${llamaRelease}.dylib`,
      };
    case 'mac-arm64-metal':
      return {
        base: 'libggml-base.dylib',
        ggml: `libggml.metal.${llamaRelease}.dylib`,
        llama: `libllama.metal.${llamaRelease}.dylib`,
      };
    case 'win-x64':
    case 'win-arm64':
      return {
        base: 'ggml-base.dll',
        ggml: `ggml.${build}.dll`,
        llama: `llama.${build}.dll`,
      };
    default:
      return platform satisfies never;
  }
}

/** True on Linux systems whose C library is not glibc (Alpine and other musl systems). */
function isMusl(): boolean {
  if (process.platform !== 'linux') return false;
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime === undefined;
}

/** The reason why an engine is missing that no installation mends, where there is one. */
export function unsupportedLibc(cause?: unknown, musl: boolean = isMusl()): BitsmithError | undefined {
  if (!musl) return undefined;
  return new BitsmithError(
    'unsupported',
    'ENGINE_UNSUPPORTED_LIBC',
    `expected a Linux system with glibc 2.34 or newer, found another C library (musl): the engine is not built for it`,
    { suggestion: 'Use a glibc based system or container image (Debian, Ubuntu, Fedora, ...).', cause },
  );
}

/** Why the libraries could not be found or loaded, as the error that the user sees. */
export function engineMissing(packageName: string, found: string, cause?: unknown): BitsmithError {
  const unsupported = unsupportedLibc(cause);
  if (unsupported !== undefined) return unsupported;
  return new BitsmithError(
    'engine',
    'ENGINE_NOT_INSTALLED',
    `expected the engine package ${packageName} ${engineRelease}, ${found}`,
    {
      expected: `${packageName}@${engineRelease}`,
      found,
      suggestion: `npm install ${packageName}@${engineRelease}`,
      cause,
    },
  );
}

/** Resolves a package's entry file; replaced in tests only. */
export type PackageResolver = (packageName: string) => string;

export const resolveInstalled: PackageResolver = (packageName) =>
  createRequire(import.meta.url).resolve(packageName);

/**
 * Finds the installed engine of this platform.
 * @throws BitsmithError `ENGINE_NOT_INSTALLED`, `ENGINE_UNSUPPORTED_PLATFORM`, `ENGINE_UNSUPPORTED_LIBC`
 */
export function locateEngine(
  platform: EnginePlatform = enginePlatform(),
  resolve: PackageResolver = resolveInstalled,
): EngineLocation {
  const packageName = `@node-llama-cpp/${platform}`;
  const names = libraryNames(platform);
  const search = findPackage(packageName, platform, Object.values(names), resolve);
  if ('problem' in search) throw engineMissing(packageName, search.problem, search.cause);
  return { platform, packageName, ...located(search.directory, names) };
}

/** Libraries in the folder of an installed package. */
export function located(
  directory: string,
  { base, ggml, llama }: LibraryNames,
): Omit<EngineLocation, 'platform' | 'packageName'> {
  return {
    version: engineRelease,
    directory,
    base: join(directory, base),
    ggml: join(directory, ggml),
    llama: join(directory, llama),
  };
}

/** Looks for a package of the right release with these files in `bins/FOLDER`. */
export function findPackage(
  packageName: string,
  folder: string,
  files: readonly string[],
  resolve: PackageResolver,
): { readonly directory: string } | { readonly problem: string; readonly cause?: unknown } {
  let entry: string;
  try {
    entry = resolve(packageName);
  } catch (cause) {
    return { problem: 'found no such package', cause };
  }
  const root = dirname(dirname(entry));
  const version = readVersion(join(root, 'package.json'));
  if (version !== engineRelease) return { problem: `found version ${version}` };
  const directory = join(root, 'bins', folder);
  const absent = files.find((file) => !existsSync(join(directory, file)));
  return absent === undefined ? { directory } : { problem: `found it without its file ${absent}` };
}

function readVersion(path: string): string {
  try {
    const parsed: unknown = JSON.parse(readFileSync(path, 'utf8'));
    const version = (parsed as { version?: unknown }).version;
    return typeof version === 'string' ? version : 'unknown';
  } catch {
    return 'unknown';
  }
}

/** The CPU level in a CPU library's file name: `haswell` of `libggml-cpu-haswell.so`; `default` for the only one. */
export function cpuLevelOf(path: string): string | null {
  const match = /^(?:lib)?ggml-cpu(?:-(.+))?\.(?:so|dll|dylib)$/.exec(basename(path));
  return match === null ? null : (match[1] ?? 'default');
}
