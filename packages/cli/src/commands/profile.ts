/** @file `bitsmith profile`: wishes that are kept under a name. */
import type { Profile } from '@bitsmith/core';
import type { CliContext } from '../context.js';
import type { OutputFlags, ProfileFlags } from '../flags.js';
import { printResult, runWork } from '../session.js';

export interface ProfileListFlags extends OutputFlags {
  readonly home?: string;
}

export async function list(this: CliContext, flags: ProfileListFlags): Promise<void> {
  const { ArtifactStore, listProfiles } = await import('@bitsmith/core');
  const { renderProfiles } = await import('../render/profiles.js');
  const store = await ArtifactStore.open(flags.home);
  const profiles = await listProfiles(store);
  const folder = store.profilesFolder;
  printResult(this, flags, {
    json: { folder, profiles },
    draw: (terminal) => renderProfiles(profiles, folder, terminal),
  });
}

export async function show(this: CliContext, flags: ProfileListFlags, name: string): Promise<void> {
  const { ArtifactStore, loadProfile, writeProfile } = await import('@bitsmith/core');
  const found = await loadProfile(await ArtifactStore.open(flags.home), name);
  printResult(this, flags, { json: found, draw: () => writeProfile(found.profile) });
}

export interface ProfileCreateFlags extends ProfileFlags, OutputFlags {
  readonly home?: string;
  readonly from?: string;
  readonly about?: string;
  readonly force: boolean;
}

export async function create(this: CliContext, flags: ProfileCreateFlags, name: string): Promise<void> {
  const { ArtifactStore, loadProfile, saveProfile, writeProfile } = await import('@bitsmith/core');
  const store = await ArtifactStore.open(flags.home);
  const base = flags.from === undefined ? {} : (await loadProfile(store, flags.from)).profile;
  const saved = await saveProfile(store, name, { ...base, ...profileOf(flags) }, flags.force);
  printResult(this, flags, {
    json: saved,
    draw: () => `${saved.path}\n\n${writeProfile(saved.profile)}`,
  });
}

function profileOf(flags: ProfileCreateFlags): Profile {
  const { about, policy, target, preset, lock, floor, couple, schemes, method, samples, search } = flags;
  const { encoder, equalize, maxTensorError, protectBits, coverage } = flags;
  const { size, bpw, ratio, memory, context, kvType, maxKl, maxPplIncrease, minCosine } = flags;
  const budget = given({ size, bpw, ratio, memory, context, kvType, maxKl, maxPplIncrease, minCosine });
  return given({
    about,
    policy,
    target,
    preset,
    budget: Object.keys(budget).length === 0 ? undefined : budget,
    locks: lock,
    floors: floor,
    couple,
    schemes,
    method,
    samples,
    search,
    encoder,
    equalize,
    protectSuperWeights: flags.protectSuperWeights || undefined,
    coverage,
    protectBits,
    maxTensorError,
  }) as Profile;
}

/** What was given; numbers as such, for they look so in a file. */
function given(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(values)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => [
        key,
        typeof value === 'string' && isPlainNumber(value) ? Number(value) : value,
      ]),
  );
}

function isPlainNumber(text: string): boolean {
  return /^\d+(\.\d+)?$/.test(text) && String(Number(text)) === text;
}

export interface ProfileValidateFlags extends ProfileListFlags {
  readonly model?: string;
  readonly token?: string;
}

export async function validate(this: CliContext, flags: ProfileValidateFlags, name: string): Promise<void> {
  const { ArtifactStore, loadProfile, openModel, profileOn } = await import('@bitsmith/core');
  const { renderValidation } = await import('../render/profiles.js');
  const store = await ArtifactStore.open(flags.home);
  const found = await loadProfile(store, name);
  const { model: location, token } = flags;
  const model =
    location === undefined
      ? null
      : await runWork(this, flags, (signal) => openModel(location, { store, token, signal }));
  const fit = model === null ? null : { model: model.name, ...profileOn(found.profile, model) };
  printResult(this, flags, { json: { ...found, fit }, draw: () => renderValidation(found, fit) });
}
