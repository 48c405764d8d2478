/**
 * @file Profiles: wishes that a person keeps in a YAML or JSON file and uses again, for any model or for one. A profile says what
 * flags say; what a command line gives wins over it, and locks of both hold. Every refusal names the line and the legal values.
 */
import { BitsmithError } from '@bitsmith/formats';
import { Document, isMap, LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { parseBudget } from '../budget.js';
import { parseCouplings } from '../coupling.js';
import { encoderMethods } from '../encoder-name.js';
import { parseFloor } from '../floors.js';
import { parseLock } from '../locks.js';
import { KEEP, unknownScheme } from '../named-scheme.js';
import { didYouMean, nearestNames } from '../nearest-names.js';
import { parsePresetName } from '../presets/presets.js';
import { parseProtection } from '../protection.js';
import { parseQuality, parseTensorError } from '../quality.js';
import { parseSchemes } from '../scheme-list.js';
import { findScheme } from '../schemes.js';
import { lineOf, type ParsedYaml } from '../yaml-lines.js';
import { parsePolicy, parseTarget } from './policies.js';

const number = z.union([z.string(), z.number()]);
const words = z.array(z.string());

const budgetSchema = z.strictObject({
  size: number.optional(),
  bpw: number.optional(),
  ratio: number.optional(),
  memory: number.optional(),
  context: number.optional(),
  kvType: z.string().optional(),
  maxKl: number.optional(),
  maxPplIncrease: number.optional(),
  minCosine: number.optional(),
});

const schema = z.strictObject({
  about: z.string().optional(),
  policy: z.string().optional(),
  target: z.string().optional(),
  preset: z.string().optional(),
  budget: budgetSchema.optional(),
  locks: words.optional(),
  floors: words.optional(),
  schemes: words.optional(),
  couple: words.optional(),
  tensors: z.record(z.string(), z.string()).optional(),
  method: z.enum(['gradient', 'probe', 'rules']).optional(),
  samples: z.number().int().positive().optional(),
  search: z.enum(['none', 'evolve', 'gradual']).optional(),
  encoder: z.enum(encoderMethods).optional(),
  equalize: z.union([z.literal('search'), z.number().min(0).max(1)]).optional(),
  protectSuperWeights: z.boolean().optional(),
  coverage: z.number().optional(),
  protectBits: z.number().optional(),
  maxTensorError: z.number().optional(),
  chunk: z.number().int().positive().optional(),
});

/**
 * What a profile may say, by the names of the flags.
 *
 * `about` is for people. `tensors` gives single tensors a scheme by their exact names: with all of them it is a plan by hand, with
 * some the rest is optimised.
 */
export type Profile = Readonly<z.infer<typeof schema>>;

const keys = Object.keys(schema.shape);
const budgetKeys = Object.keys(budgetSchema.shape);
const MOST_CHARACTERS = 64 * 2 ** 20;

/**
 * Reads a profile.
 * @param name what a message calls it
 * @throws BitsmithError kind `profile`: `PROFILE_SYNTAX`, `PROFILE_KEY_UNKNOWN`, `PROFILE_CONTENT`, and the codes of what its
 *   values are (`LOCK_MALFORMED`, `SCHEME_UNKNOWN`, `BUDGET_MALFORMED`, ...), each with the line
 */
export function readProfile(text: string, name: string): Profile {
  const parsed = parse(text, name);
  const content = schema.safeParse(contentOf(parsed, name));
  if (!content.success) throw contentError(parsed, name, content.error.issues[0]);
  refuseBadValues(content.data, (path) => `profile ${name}, line ${lineOf(parsed, path)}`);
  return content.data;
}

/** The profile as YAML. The same profile gives the same bytes. */
export function writeProfile(profile: Profile): string {
  const document = new Document(
    Object.fromEntries(Object.entries(profile).filter(([, value]) => value !== undefined)),
  );
  document.commentBefore = [
    ' A Bitsmith profile: bitsmith quantize MODEL --profile THIS_FILE',
    ` It may hold: ${keys.join(', ')}.`,
  ].join('\n');
  return document.toString({ lineWidth: 0 });
}

function parse(text: string, name: string): ParsedYaml {
  const lines = new LineCounter();
  if (text.length > MOST_CHARACTERS) throw syntax(name, 1, `${text.length} characters`);
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) throw syntax(name, lines.linePos(error.pos[0]).line, error.message, error);
  if (!isMap(document.contents))
    throw syntax(name, 1, text.trim() === '' ? 'an empty file' : 'something else than keys and values');
  return { document, lines };
}

/** Aliases are refused: a profile needs none, and they let a small file grow without limit. */
function contentOf({ document }: ParsedYaml, name: string): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch (cause) {
    throw syntax(name, 1, 'YAML aliases (*name), which no profile needs', cause);
  }
}

function syntax(name: string, line: number, found: string, cause?: unknown): BitsmithError {
  return new BitsmithError(
    'profile',
    'PROFILE_SYNTAX',
    `profile ${name}, line ${line}: expected YAML or JSON with keys and values, found ${found}`,
    {
      expected: `some of ${keys.join(', ')}`,
      found,
      cause,
    },
  );
}

function contentError(parsed: ParsedYaml, name: string, issue: z.core.$ZodIssue): BitsmithError {
  const path = issue.path.map(String);
  if (issue.code === 'unrecognized_keys') return unknownKey(parsed, name, path, issue.keys[0]);
  const what = path.join('.');
  return new BitsmithError(
    'profile',
    'PROFILE_CONTENT',
    `profile ${name}, line ${lineOf(parsed, path)}: ${what}: ${issue.message}`,
    { found: what, suggestion: 'See what it may hold with: bitsmith profile show NAME' },
  );
}

function unknownKey(parsed: ParsedYaml, name: string, path: readonly string[], key: string): BitsmithError {
  const legal = path.at(-1) === 'budget' ? budgetKeys : keys;
  const meant = didYouMean(nearestNames(key, legal));
  return new BitsmithError(
    'profile',
    'PROFILE_KEY_UNKNOWN',
    `profile ${name}, line ${lineOf(parsed, [...path, key])}: unknown key '${[...path, key].join('.')}'`,
    {
      expected: `one of ${legal.join(', ')}`,
      found: key,
      suggestion: `${meant}Legal keys: ${legal.join(', ')}.`,
    },
  );
}

/** Whether the values mean something, by the same code that reads flags. */
function refuseBadValues(profile: Profile, where: (path: readonly string[]) => string): void {
  const checked = (path: readonly string[], check: () => unknown): void => {
    try {
      check();
    } catch (error) {
      if (!(error instanceof BitsmithError)) throw error;
      const { code, message, expected, found, suggestion } = error;
      throw new BitsmithError('profile', code, `${where(path)}: ${message}`, {
        expected,
        found,
        suggestion,
        cause: error,
      });
    }
  };
  const { policy, target, preset, budget, locks, floors, schemes, couple, tensors } = profile;
  const { protectSuperWeights, coverage, protectBits, maxTensorError } = profile;
  const protection = { protectSuperWeights, coverage, protectBits };
  if (policy !== undefined) checked(['policy'], () => parsePolicy(policy));
  if (target !== undefined) checked(['target'], () => parseTarget(target));
  if (preset !== undefined) checked(['preset'], () => parsePresetName(preset));
  if (budget !== undefined) checkBudget(budget, checked);
  locks?.forEach((lock, place) => checked(['locks', String(place)], () => parseLock(lock)));
  floors?.forEach((floor, place) => checked(['floors', String(place)], () => parseFloor(floor)));
  if (schemes !== undefined) checked(['schemes'], () => parseSchemes(schemes));
  if (couple !== undefined) checked(['couple'], () => parseCouplings(couple));
  const [first] = Object.entries(protection).find(([, value]) => value !== undefined) ?? [];
  if (first !== undefined) checked([first], () => parseProtection(protection));
  if (maxTensorError !== undefined) checked(['maxTensorError'], () => parseTensorError(maxTensorError));
  for (const [tensor, scheme] of Object.entries(tensors ?? {}))
    checked(['tensors', tensor], () => refuseUnknownScheme(scheme, tensor));
}

type Checked = (path: readonly string[], check: () => unknown) => void;

/** Each wish by itself, so that the line is its own; then memory with what belongs to it. */
function checkBudget(budget: NonNullable<Profile['budget']>, checked: Checked): void {
  const { size, bpw, ratio, kvType, maxKl, maxPplIncrease, minCosine, ...memory } = budget;
  for (const [key, wish] of Object.entries({ size: { size }, bpw: { bpw }, ratio: { ratio } }))
    checked(['budget', key], () => parseBudget(wish));
  const limits = {
    maxKl: { maxKl },
    maxPplIncrease: { maxPerplexityIncrease: maxPplIncrease },
    minCosine: { minCosine },
  };
  for (const [key, limit] of Object.entries(limits)) checked(['budget', key], () => parseQuality(limit));
  checked(['budget'], () => parseBudget({ ...memory, keyValueType: kvType }));
}

function refuseUnknownScheme(scheme: string, tensor: string): void {
  if (scheme.toLowerCase() !== KEEP && findScheme(scheme) === undefined) throw unknownScheme(scheme, tensor);
}
