/**
 * @file Manual decisions: `REGEX=SCHEME` stores every matching tensor in that scheme, whatever the prices say. The pattern
 * is searched in the name, as llama.cpp's `--tensor-type` does; `keep` as the scheme leaves tensors as they are stored. Where
 * the output head is tied to the embedding, a lock on either name is a lock on the one tensor.
 */
import type { TiedTensor } from '../model/tied.js';
import type { ModelTensor } from '../model/types.js';
import { KEEP, schemeForTensor, unknownScheme } from './named-scheme.js';
import { planError } from './plan-error.js';
import { quantizable } from './quantizable.js';
import { findScheme, type StorageType } from './schemes.js';

/** One `REGEX=SCHEME`. */
export interface Lock {
  /** As the user wrote it. */
  readonly text: string;
  readonly pattern: RegExp;
  readonly scheme: string;
}

/** What a lock decided for one tensor. */
export interface AppliedLock {
  readonly scheme: StorageType;
  /** The lock as the user wrote it. */
  readonly text: string;
}

/**
 * Reads `REGEX=SCHEME`, for example `attn_v=Q6_K` or `^blk\.(0|1)\.=keep`. The last `=` parts the two.
 * @throws BitsmithError `LOCK_MALFORMED` or `SCHEME_UNKNOWN`.
 */
export function parseLock(text: string): Lock {
  const split = text.lastIndexOf('=');
  const source = text.slice(0, split);
  const scheme = text.slice(split + 1).trim();
  if (split < 1 || scheme === '') throw malformed(text, 'no REGEX=SCHEME');
  if (scheme.toLowerCase() !== KEEP && findScheme(scheme) === undefined) {
    throw unknownScheme(scheme, `lock '${text}'`);
  }
  try {
    return { text, pattern: new RegExp(source), scheme };
  } catch (cause) {
    throw malformed(text, cause instanceof Error ? cause.message : String(cause), cause);
  }
}

/**
 * Finds what each lock decides. A pattern may also match tensors that are never quantized (norms, say): those stay as they
 * are, as long as it matches one that is.
 * @param ties names that stand for a tensor of another name
 * @returns the locked tensors by name.
 * @throws BitsmithError `LOCK_MATCHES_NOTHING`, `LOCK_NOT_QUANTIZABLE`, `SCHEME_ILLEGAL`, `LOCK_CONFLICT` or
 * `TIED_LOCKED_APART`.
 */
export function applyLocks(
  locks: readonly Lock[],
  tensors: readonly ModelTensor[],
  ties: readonly TiedTensor[] = [],
): ReadonlyMap<string, AppliedLock> {
  const applied = new Map<string, Named>();
  for (const lock of locks) {
    for (const { tensor, name } of lockedTensors(lock, tensors, ties)) {
      const scheme = schemeForTensor(lock.scheme, tensor, `lock '${lock.text}'`);
      const earlier = applied.get(tensor.name);
      const later = { scheme, text: lock.text, name };
      if (earlier !== undefined && earlier.scheme !== scheme) {
        throw earlier.name === name ? conflict(tensor, earlier, later) : lockedApart(tensor, earlier, later);
      }
      if (earlier === undefined) applied.set(tensor.name, later);
    }
  }
  return new Map([...applied].map(([name, { scheme, text }]) => [name, { scheme, text }]));
}

/** A lock with the name that its pattern was found in. */
type Named = AppliedLock & { readonly name: string };

interface Matched {
  readonly tensor: ModelTensor;
  /** What the pattern was found in: the tensor's name, or one that stands for it. */
  readonly name: string;
}

function lockedTensors(
  lock: Lock,
  tensors: readonly ModelTensor[],
  ties: readonly TiedTensor[],
): readonly Matched[] {
  const matching = tensors.flatMap((tensor): Matched[] => {
    const names = [tensor.name, ...ties.flatMap((tie) => (tie.storage === tensor.name ? tie.name : []))];
    const name = names.find((each) => lock.pattern.test(each));
    return name === undefined ? [] : [{ tensor, name }];
  });
  if (matching.length === 0) {
    throw planError(
      'LOCK_MATCHES_NOTHING',
      `lock '${lock.text}' matches none of the ${tensors.length} tensors`,
      {
        expected: 'a pattern that is found in at least one tensor name',
        found: lock.pattern.source,
        suggestion: `Names look like ${exampleNames(tensors)}; list them all with: bitsmith inspect MODEL`,
      },
    );
  }
  const free = matching.filter(({ tensor }) => quantizable(tensor).allowed);
  if (free.length > 0) return free;
  const first = matching[0].tensor;
  throw planError(
    'LOCK_NOT_QUANTIZABLE',
    `lock '${lock.text}' matches only tensors that are never quantized: ${first.name} is ${quantizable(first).reason}`,
    {
      found: matching.map(({ tensor }) => tensor.name).join(', '),
      suggestion: 'Drop the lock: these tensors stay as they are stored.',
    },
  );
}

function exampleNames(tensors: readonly ModelTensor[]): string {
  return tensors
    .filter((tensor) => quantizable(tensor).allowed)
    .slice(0, 3)
    .map(({ name }) => name)
    .join(', ');
}

function conflict(tensor: ModelTensor, earlier: AppliedLock, later: AppliedLock): Error {
  return planError(
    'LOCK_CONFLICT',
    `locks '${earlier.text}' and '${later.text}' both match ${tensor.name}, and ask for ${earlier.scheme} and ${later.scheme}`,
    {
      expected: 'one scheme a tensor',
      found: `${earlier.scheme} and ${later.scheme}`,
      suggestion: 'Narrow one of the patterns, for example with ^ and $.',
    },
  );
}

function lockedApart(tensor: ModelTensor, earlier: Named, later: Named): Error {
  return planError(
    'TIED_LOCKED_APART',
    `locks '${earlier.text}' and '${later.text}' ask for ${earlier.name} in ${earlier.scheme} and ${later.name} in ${later.scheme}, but the model stores both as one tensor, ${tensor.name}`,
    {
      expected: 'one scheme for tensors that are tied',
      found: `${earlier.scheme} and ${later.scheme}`,
      suggestion: `Lock ${tensor.name} alone: what it is stored in holds for both.`,
    },
  );
}

function malformed(text: string, found: string, cause?: unknown): Error {
  return planError('LOCK_MALFORMED', `lock '${text}': expected REGEX=SCHEME, found ${found}`, {
    expected: 'REGEX=SCHEME',
    found,
    suggestion: "For example --lock 'attn_v=Q6_K', or --lock 'output=keep'.",
    cause,
  });
}
