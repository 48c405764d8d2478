/**
 * @file llama.cpp's presets as plans: what `llama-quantize MODEL Q4_K_M` would store every tensor in, with the exact bytes of
 * the file that this writer makes of it. Which type a preset gives each tensor is llama.cpp's own knowledge (`presets/`
 * asks the engine); here it meets what the user fixed.
 */
import { bitsPerWeight, type TensorType } from '@bitsmith/formats';
import { fileBytes } from '../bytes.js';
import type { CouplingGroup } from '../coupling.js';
import { didYouMean, nearestNames } from '../nearest-names.js';
import type { TensorOptions } from '../options.js';
import { planError } from '../plan-error.js';
import type { StorageType } from '../schemes.js';

/** The file types of `llama-quantize` that mix or name schemes for weights, smallest first by their usual sizes. */
export const presetNames = [
  'IQ1_S',
  'IQ1_M',
  'IQ2_XXS',
  'IQ2_XS',
  'IQ2_S',
  'IQ2_M',
  'Q2_K_S',
  'Q2_K',
  'IQ3_XXS',
  'IQ3_XS',
  'Q3_K_S',
  'IQ3_S',
  'IQ3_M',
  'Q3_K_M',
  'Q3_K_L',
  'IQ4_XS',
  'IQ4_NL',
  'Q4_0',
  'Q4_K_S',
  'Q4_K_M',
  'Q4_1',
  'Q5_0',
  'Q5_K_S',
  'Q5_K_M',
  'Q5_1',
  'Q6_K',
  'Q8_0',
] as const;

export type PresetName = (typeof presetNames)[number];

/** The type of every tensor under each preset, by tensor name: what `llama-quantize` would write. */
export type PresetRecipes = ReadonlyMap<PresetName, ReadonlyMap<string, TensorType>>;

/** A preset as a plan for one model. */
export interface Preset {
  readonly name: PresetName;
  /** The type of every tensor of the model. */
  readonly schemes: ReadonlyMap<string, StorageType>;
  /** Exact bytes of the file, header included. */
  readonly bytes: number;
}

/**
 * The preset of this name, in any case of letters.
 * @throws BitsmithError `PRESET_UNKNOWN`
 */
export function parsePresetName(text: string): PresetName {
  const found = presetNames.find((name) => name === text.trim().toUpperCase());
  if (found !== undefined) return found;
  const meant = didYouMean(nearestNames(text, presetNames));
  throw planError('PRESET_UNKNOWN', `expected a preset of llama.cpp, found ${JSON.stringify(text)}`, {
    expected: `one of ${presetNames.join(', ')}`,
    found: text,
    suggestion: `${meant}Presets: ${presetNames.join(', ')}.`,
  });
}

/**
 * The presets as plans within what the options allow, smallest first. Locks and kept tensors win over a preset, and a tensor
 * that the preset would make larger stays as it is stored. A preset that gives a tensor a scheme which its options lack (a
 * floor, say, or a list of allowed schemes), or parts what must share a scheme, is left out: it is no plan that the user
 * could get.
 */
export function presetPlans(
  recipes: PresetRecipes,
  storage: readonly TensorOptions[],
  headerBytes: number,
  groups: readonly CouplingGroup[] = [],
): readonly Preset[] {
  return [...recipes]
    .flatMap(([name, types]) => presetPlan(name, types, storage, headerBytes) ?? [])
    .filter(({ schemes }) => groups.every((group) => isShared(group, schemes)))
    .toSorted((a, b) => a.bytes - b.bytes);
}

/** What a preset must respect to be a plan that the user could get. */
export interface PresetFrame {
  readonly storage: readonly TensorOptions[];
  readonly groups?: readonly CouplingGroup[];
  readonly headerBytes: number;
}

/**
 * One preset as a plan, for a user who names it.
 * @throws BitsmithError `PRESET_EXCLUDED` where what else the user asked for leaves it out
 */
export function presetNamed(name: PresetName, recipes: PresetRecipes, frame: PresetFrame): Preset {
  const { storage, groups, headerBytes } = frame;
  const [found] = presetPlans(
    new Map([[name, recipes.get(name) ?? new Map()]]),
    storage,
    headerBytes,
    groups,
  );
  if (found !== undefined) return found;
  throw planError(
    'PRESET_EXCLUDED',
    `${name} stores some tensor in a scheme that the allowed schemes or couplings leave out`,
    { found: name, suggestion: 'Leave --schemes and --couple out beside --preset.' },
  );
}

function isShared({ tensors }: CouplingGroup, schemes: Preset['schemes']): boolean {
  return new Set(tensors.map((tensor) => schemes.get(tensor))).size === 1;
}

function presetPlan(
  name: PresetName,
  types: ReadonlyMap<string, TensorType>,
  storage: readonly TensorOptions[],
  headerBytes: number,
): Preset | null {
  const chosen = storage.map(({ tensor, options, constraint }) => {
    const [only] = options;
    if (constraint !== null && options.length === 1) return { tensor: tensor.name, ...only };
    const wanted = types.get(tensor.name) ?? tensor.type;
    const stored = options.find(({ scheme }) => scheme === tensor.type);
    const option = options.find(({ scheme }) => scheme === wanted);
    // No option, for it takes no less room than the tensor does as it is stored.
    const kept = option ?? (isSmaller(wanted, tensor) ? undefined : stored);
    return kept === undefined ? null : { tensor: tensor.name, ...kept };
  });
  if (!chosen.every((each) => each !== null)) return null;
  return {
    name,
    schemes: new Map(chosen.map(({ tensor, scheme }) => [tensor, scheme])),
    bytes: fileBytes(
      headerBytes,
      chosen.map(({ bytes }) => bytes),
    ),
  };
}

function isSmaller(wanted: TensorType, { type }: { readonly type: TensorType }): boolean {
  return bitsPerWeight(wanted) < bitsPerWeight(type);
}
