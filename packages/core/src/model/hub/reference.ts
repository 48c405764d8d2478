/** @file How a model on the Hub is named: `org/name`, then optionally `@revision` and `:file`. */
import { existsSync } from 'node:fs';
import { BitsmithError } from '@bitsmith/formats';

export interface HubReference {
  /** `org/name`. */
  readonly repository: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  /** A GGUF in the repository: its path, its name, or a part that only one has, such as `Q4_K_M`. */
  readonly file: string | null;
}

const shape = /^(?<repository>[^/@:\s\\]+\/[^/@:\s\\]+)(?:@(?<revision>[^:\s\\]+))?(?::(?<file>[^\s\\]+))?$/;
/** One side of `org/name`: at most 96 characters, no `--` or `..` inside, no `-` or `.` at its ends. */
const part = /^(?!.*(?:--|\.\.))\w(?:[\w.-]{0,94}\w)?$/;
/** A missing local file must be reported as such, not looked for on the Hub. */
const localFile = /\.(?:gguf|safetensors|json|bin|pt|pth|onnx)$/i;

/**
 * True when `location` names a model on the Hub. Whatever exists on this machine under that name wins.
 * The check is one `stat`: it is synchronous on purpose, so that it cannot be forgotten to be awaited.
 */
export function isHubId(location: string): boolean {
  return parse(location) !== null && !existsSync(location);
}

/** @throws BitsmithError `HUB_ID_INVALID` */
export function parseHubId(location: string): HubReference {
  const reference = parse(location);
  if (reference !== null) return reference;
  throw new BitsmithError('arguments', 'HUB_ID_INVALID', `'${location}' does not name a model on the Hub`, {
    expected: 'org/name, org/name@revision, org/name:file.gguf or org/name@revision:file.gguf',
    found: location,
    suggestion: 'Write it as org/name, for example Qwen/Qwen3-0.6B.',
  });
}

function parse(location: string): HubReference | null {
  const groups = shape.exec(location)?.groups;
  if (groups === undefined) return null;
  const repository = groups['repository'];
  if (!repository.split('/').every((side) => part.test(side)) || localFile.test(repository)) return null;
  const revision = groups['revision'] ?? 'main';
  const file = groups['file'] ?? null;
  if (!isPlainPath(revision) || (file !== null && !isPlainPath(file))) return null;
  return { repository, revision, file };
}

/** True when a `/`-separated name stays below the folder it is joined to, on every operating system. */
export function isPlainPath(name: string): boolean {
  // oxlint-disable-next-line no-control-regex
  if (name.length === 0 || name.length > 1024 || /[\\\u0000-\u001f]/.test(name)) return false;
  return name.split('/').every((segment) => {
    return segment !== '' && segment !== '.' && segment !== '..' && !/^[A-Za-z]:/.test(segment);
  });
}
