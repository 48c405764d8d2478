/**
 * @file Profiles on disk: `NAME.yaml` in the folder `profiles` of the home, or any file by its path. Every policy and every target
 * is a profile, too, that needs no file.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { BitsmithError } from '@bitsmith/formats';
import { fileError } from '../io/file-errors.js';
import { writeAtomically } from '../io/file-sink.js';
import { didYouMean, nearestNames } from '../plan/nearest-names.js';
import { policies, type PolicyName, type TargetName, targets } from '../plan/profiles/policies.js';
import { type Profile, readProfile, writeProfile } from '../plan/profiles/profile.js';
import type { ArtifactStore } from '../run/store.js';

/** Wishes that come from a name. */
export interface ProfileOptions {
  /** A profile by its name, or a file: what is given beside it wins, locks and floors of both hold. */
  readonly profile?: string;
  /** How bits are spread: `attention-high`, `balanced`, `compression-max` or `quality-max`. */
  readonly policy?: string;
  /** Where the file will run: `edge`, `local` or `cloud`; sets a budget where none is given. */
  readonly target?: string;
  /** Schemes by exact tensor names, as locks; with all of them no budget is needed. */
  readonly tensors?: Readonly<Record<string, string>>;
}

/** A profile with where it comes from. */
export interface NamedProfile {
  readonly name: string;
  /** Null for those that need no file. */
  readonly path: string | null;
  readonly profile: Profile;
}

type Home = Pick<ArtifactStore, 'profilesFolder'>;

const builtIn: readonly NamedProfile[] = [
  ...(Object.keys(targets) as TargetName[]).map((target) => ({
    name: target,
    path: null,
    profile: { about: targets[target].about, target },
  })),
  ...(Object.keys(policies) as PolicyName[]).map((policy) => ({
    name: policy,
    path: null,
    profile: { about: policies[policy].about, policy },
  })),
];

const NAME = /^[\w-][\w.-]*$/;
const EXTENSION = '.yaml';

/** A profile with a name, or why its file cannot be read. */
export type ListedProfile =
  | NamedProfile
  | { readonly name: string; readonly path: string; readonly problem: string };

/** All profiles that have a name, those without a file first. */
export async function listProfiles(home: Home): Promise<readonly ListedProfile[]> {
  const saved = (await savedNames(home)).map(async (name) => {
    const file = path.join(home.profilesFolder, name + EXTENSION);
    try {
      return await readFrom(file, name);
    } catch (error) {
      if (!(error instanceof BitsmithError)) throw error;
      return { name, path: file, problem: error.message };
    }
  });
  return [...builtIn, ...(await Promise.all(saved))];
}

/**
 * A profile by its name, or by the path of a file.
 * @throws BitsmithError `PROFILE_NOT_FOUND` with the names there are; what `readProfile` throws
 */
export async function loadProfile(home: Home, nameOrFile: string): Promise<NamedProfile> {
  const known = builtIn.find(({ name }) => name === nameOrFile.toLowerCase());
  if (known !== undefined) return known;
  if (NAME.test(nameOrFile) && (await savedNames(home)).includes(nameOrFile))
    return readFrom(path.join(home.profilesFolder, nameOrFile + EXTENSION), nameOrFile);
  const isPath = /[/\\]|\.(ya?ml|json)$/i.test(nameOrFile);
  if (isPath) return readFrom(nameOrFile, path.basename(nameOrFile));
  const names = [...builtIn.map(({ name }) => name), ...(await savedNames(home))];
  const meant = didYouMean(nearestNames(nameOrFile, names));
  throw new BitsmithError('profile', 'PROFILE_NOT_FOUND', `there is no profile '${nameOrFile}'`, {
    expected: `one of ${names.join(', ')}, or a file`,
    found: nameOrFile,
    suggestion: `${meant}Profiles are kept in ${home.profilesFolder}; a file is named by its path, as ./${nameOrFile}.yaml.`,
  });
}

/**
 * Keeps a profile under a name.
 * @throws BitsmithError `PROFILE_NAME` for a name that is none or taken by a policy or target, `PROFILE_EXISTS`
 */
export async function saveProfile(
  home: Home,
  name: string,
  profile: Profile,
  overwrite = false,
): Promise<NamedProfile> {
  if (!NAME.test(name) || builtIn.some((each) => each.name === name.toLowerCase())) {
    throw new BitsmithError('profile', 'PROFILE_NAME', `a profile cannot be named '${name}'`, {
      expected: 'letters, digits, - and _, and not the name of a policy or a target',
      found: name,
      suggestion: `Taken are ${builtIn.map((each) => each.name).join(', ')}.`,
    });
  }
  const file = path.join(home.profilesFolder, name + EXTENSION);
  if (!overwrite && (await savedNames(home)).includes(name)) {
    throw new BitsmithError('profile', 'PROFILE_EXISTS', `there is a profile '${name}' already: ${file}`, {
      suggestion: 'Take another name, or --force to write over it.',
    });
  }
  const text = writeProfile(profile);
  // What is kept can be read again.
  const kept = readProfile(text, name);
  try {
    await mkdir(home.profilesFolder, { recursive: true });
  } catch (error) {
    throw fileError(error, home.profilesFolder, 'write');
  }
  await writeAtomically(file, (sink) => sink.write(new TextEncoder().encode(text)));
  return { name, path: file, profile: kept };
}

async function readFrom(file: string, name: string): Promise<NamedProfile> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw fileError(error, file, 'read');
  }
  return { name, path: path.resolve(file), profile: readProfile(text, name) };
}

async function savedNames(home: Home): Promise<readonly string[]> {
  let files: string[];
  try {
    files = await readdir(home.profilesFolder);
  } catch {
    // None was ever kept.
    return [];
  }
  return files
    .filter((file) => file.endsWith(EXTENSION))
    .map((file) => file.slice(0, -EXTENSION.length))
    .sort();
}
