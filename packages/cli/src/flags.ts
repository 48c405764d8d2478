/** @file Flags that commands share, each described once. Values are checked for their form here, for their meaning in the core. */
import type { EncoderMethod } from '@bitsmith/core';
import type { FlagParametersForType } from '@stricli/core';

/** How a command speaks. */
export interface OutputFlags {
  readonly json: boolean;
  readonly verbose: boolean;
  readonly quiet: boolean;
}

export const outputFlags: FlagParametersForType<OutputFlags> = {
  json: {
    kind: 'boolean',
    default: false,
    withNegated: false,
    brief: 'Print the result as JSON; errors too',
  },
  verbose: { kind: 'boolean', default: false, withNegated: false, brief: 'Say more on stderr' },
  quiet: { kind: 'boolean', default: false, withNegated: false, brief: 'Say nothing on stderr but errors' },
};

/** Where work is kept and how it runs. */
export interface RunFlags {
  readonly threads?: number;
  readonly gpu: boolean;
  readonly seed?: number;
  readonly home?: string;
  readonly token?: string;
}

/** The groups of `--help`, in order; flags of one command alone come before them. */
export const flagGroups: Readonly<Record<string, readonly string[]>> = {
  Budget: [
    'size',
    'bpw',
    'ratio',
    'memory',
    'context',
    'kvType',
    'maxKl',
    'maxPplIncrease',
    'minCosine',
    'maxTensorError',
  ],
  Output: ['output', 'scores'],
  Plan: [
    'plan',
    'preset',
    'profile',
    'policy',
    'target',
    'savePlan',
    'tensorTypeFile',
    'lock',
    'floor',
    'couple',
    'protectSuperWeights',
    'protectBits',
  ],
  Measuring: [
    'equalize',
    'imatrix',
    'encoder',
    'method',
    'samples',
    'search',
    'searchTokens',
    'schemes',
    'workMemory',
    'plans',
    'interactions',
    'coverage',
    'resume',
  ],
  Text: ['text', 'chunk', 'tokens', 'noVerify', 'coherence', 'keepCollapsed'],
  Run: ['threads', 'gpu', 'seed', 'home', 'token'],
  Messages: ['json', 'verbose', 'quiet'],
};

export const threadsFlag = optional('Threads to compute with (default: all cores)', 'N', wholeNumber(1));

export const gpuFlag = {
  kind: 'boolean',
  default: false,
  withNegated: false,
  brief: 'Run models on the GPU (says what to install)',
} as const;

export const homeFlag = optional(
  'Folder of artifacts and run records (default: BITSMITH_HOME, or .bitsmith here)',
  'FOLDER',
  text,
);

export const tokenFlag = optional('Token for the Hugging Face Hub (default: HF_TOKEN)', 'TOKEN', text);

export const runFlags: FlagParametersForType<RunFlags> = {
  threads: threadsFlag,
  gpu: gpuFlag,
  seed: optional('Seed of all randomness (default: 1)', 'N', wholeNumber(0)),
  home: homeFlag,
  token: tokenFlag,
};

/** The text that a model is measured on. */
export interface TextFlags {
  readonly text?: string;
  readonly chunk?: number;
}

export const textFlags: FlagParametersForType<TextFlags> = {
  text: optional('Text to calibrate and measure with (default: the text that comes along)', 'FILE', text),
  chunk: optional(
    "Tokens in one chunk of text (default: 512, or the model's context if shorter)",
    'N',
    wholeNumber(2),
  ),
};

export interface BudgetFlags {
  readonly size?: string;
  readonly bpw?: string;
  readonly ratio?: string;
  readonly memory?: string;
  readonly context?: string;
  readonly kvType?: string;
  readonly maxKl?: string;
  readonly maxPplIncrease?: string;
  readonly minCosine?: string;
}

export const budgetFlags: FlagParametersForType<BudgetFlags> = {
  size: optional('Bytes of the whole file at most, for example 1.2GB or 800MiB', 'SIZE', text),
  bpw: optional('Bits per weight at most, for example 3.5', 'BITS', text),
  ratio: optional('Source bytes / file bytes at least, for example 5', 'RATIO', text),
  memory: optional('Memory for weights, context and computing at most, for example 8GB', 'SIZE', text),
  context: optional('Tokens of context that the --memory is for', 'TOKENS', text),
  kvType: optional('What keys and values are kept in, for --memory (default: F16)', 'TYPE', text),
  maxKl: optional('Smallest file with a mean KL of so many nats at most, for example 0.01', 'NATS', text),
  maxPplIncrease: optional(
    'Smallest file with a perplexity so many percent higher at most, for example 5',
    'PERCENT',
    text,
  ),
  minCosine: optional(
    "Cosine similarity of every tensor with the source's at least, for example 0.99",
    'COSINE',
    text,
  ),
};

export const workMemoryFlag = optional(
  'Memory that measuring gradients may take, for example 2GB (default: what there is)',
  'SIZE',
  text,
);

/** What shapes a plan besides its budget. */
export interface PlanFlags {
  readonly plan?: string;
  readonly preset?: string;
  readonly profile?: string;
  readonly policy?: string;
  readonly target?: string;
  readonly savePlan?: string;
  readonly tensorTypeFile?: string;
  readonly lock?: readonly string[];
  readonly floor?: readonly string[];
  readonly couple?: readonly string[];
  readonly schemes?: readonly string[];
  readonly imatrix?: string;
  readonly encoder?: EncoderMethod;
  readonly method?: 'gradient' | 'probe' | 'rules';
  readonly samples?: number;
  readonly workMemory?: string;
  readonly search?: 'none' | 'evolve' | 'gradual';
  readonly searchTokens?: number;
  readonly maxTensorError?: string;
  readonly protectSuperWeights: boolean;
  readonly protectBits?: number;
  readonly coverage?: number;
  readonly equalize?: string;
}

/** `search` or a number; which numbers, the core knows. */
export const equalizeFlag = optional(
  'Make channels alike first, in a copy that computes the same: 0 (by weights) to 1 (by activations), or search',
  'ALPHA|search',
  text,
);

export const planFlags: FlagParametersForType<PlanFlags> = {
  plan: optional('Take the schemes from this plan file', 'FILE', text),
  preset: optional("Take the schemes of llama-quantize's preset, for example Q4_K_M", 'NAME', text),
  profile: optional('Take what is not given here from this profile', 'NAME|FILE', text),
  policy: optional(
    'How bits are spread: attention-high, balanced, compression-max or quality-max',
    'NAME',
    text,
  ),
  target: optional(
    'Where it will run: edge, local or cloud; sets a budget where none is given',
    'NAME',
    text,
  ),
  savePlan: optional('Write the plan as YAML that can be edited and used again with --plan', 'FILE', text),
  tensorTypeFile: optional("Write the plan for llama-quantize's --tensor-type-file", 'FILE', text),
  lock: {
    kind: 'parsed',
    parse: text,
    optional: true,
    variadic: true,
    placeholder: 'REGEX=SCHEME',
    brief: "Fix the scheme of matching tensors, for example 'attn_v=Q8_0'; may be repeated",
  },
  floor: {
    kind: 'parsed',
    parse: text,
    optional: true,
    variadic: true,
    placeholder: 'ROLE=SCHEME',
    brief:
      "Nothing below for tensors of a role, for example 'attention-v=Q5_K' or attention=4bit; may be repeated",
  },
  couple: {
    kind: 'parsed',
    parse: text,
    optional: true,
    variadic: ',',
    placeholder: 'qkv,gate-up',
    brief: 'Give tensors that runtimes fuse one scheme (default: none, as GGUF needs)',
  },
  schemes: {
    kind: 'parsed',
    parse: text,
    optional: true,
    variadic: ',',
    placeholder: 'SCHEME,...',
    brief:
      'Choose from these: names, or gguf (the default), k-quants, i-quants, float, affine, affine4, int8',
  },
  imatrix: optional('Use this importance matrix (GGUF or .dat) instead of measuring one', 'FILE', text),
  encoder: optional(
    'How codes are chosen: nearest, as llama-quantize does, feedback, refit, feedback+refit (default where inputs can be measured), or learned, which takes longest',
    'NAME',
    encoderMethod,
  ),
  method: optional(
    'Where prices come from: gradient, probe, which runs on any architecture, or rules: names and depth alone (default: gradient where it can)',
    'NAME',
    pricingMethod,
  ),
  samples: optional('Sequences to take gradients of (default: 16)', 'N', wholeNumber(1)),
  equalize: equalizeFlag,
  workMemory: workMemoryFlag,
  search: optional(
    'Refine the plan on true loss: evolve, gradual or none (default: none)',
    'NAME',
    searchMethod,
  ),
  searchTokens: optional('Tokens that plans may run over in the search', 'N', wholeNumber(1)),
  maxTensorError: optional(
    "Relative error of every tensor's weights at most, for example 0.1: what misses it in the file gets more bits",
    'ERROR',
    text,
  ),
  protectSuperWeights: {
    kind: 'boolean',
    default: false,
    withNegated: false,
    brief:
      'Give tensors that hold super weights, or many of the most important weights, more bits where that pays',
  },
  protectBits: optional(
    'Bits that protected tensors get, where a step up is not enough: 8 or 16 (default: 8)',
    'BITS',
    wholeNumber(1),
  ),
  coverage: optional(
    'Share of the weights that count as most important, up to 0.01 (default: 0.0001)',
    'SHARE',
    fraction,
  ),
};

/** What a profile may keep. */
export type ProfileFlags = BudgetFlags &
  Pick<
    PlanFlags,
    | 'policy'
    | 'target'
    | 'preset'
    | 'lock'
    | 'floor'
    | 'couple'
    | 'schemes'
    | 'method'
    | 'samples'
    | 'search'
    | 'encoder'
    | 'equalize'
    | 'maxTensorError'
    | 'protectSuperWeights'
    | 'protectBits'
    | 'coverage'
  >;

const { policy, target, preset, lock, floor, couple, schemes, method, samples, search } = planFlags;
const { encoder, equalize, maxTensorError, protectSuperWeights, protectBits, coverage } = planFlags;

export const profileFlags: FlagParametersForType<ProfileFlags> = {
  ...budgetFlags,
  policy,
  target,
  preset,
  lock,
  floor,
  couple,
  schemes,
  method,
  samples,
  search,
  encoder,
  equalize,
  maxTensorError,
  protectSuperWeights,
  protectBits,
  coverage,
};

/** What activations can be computed in. */
export function activationType(input: string): 'int8' {
  if (input === 'int8') return input;
  throw new SyntaxError('expected int8');
}

function searchMethod(input: string): 'none' | 'evolve' | 'gradual' {
  if (input === 'none' || input === 'evolve' || input === 'gradual') return input;
  throw new SyntaxError('expected none, evolve or gradual');
}

/** Not the core's own list, which would load all of the core for help and refusals, too: the type keeps them the same. */
const encoders: Readonly<Record<EncoderMethod, true>> = {
  auto: true,
  nearest: true,
  feedback: true,
  refit: true,
  'feedback+refit': true,
  learned: true,
};

function encoderMethod(input: string): EncoderMethod {
  if (Object.hasOwn(encoders, input)) return input as EncoderMethod;
  throw new SyntaxError(`expected ${Object.keys(encoders).join(', ')}`);
}

function pricingMethod(input: string): 'gradient' | 'probe' | 'rules' {
  if (input === 'gradient' || input === 'probe' || input === 'rules') return input;
  throw new SyntaxError('expected gradient, probe or rules');
}

export function optional<Value>(brief: string, placeholder: string, parse: (input: string) => Value) {
  return { kind: 'parsed', parse, optional: true, brief, placeholder } as const;
}

/** Any text but none at all. */
export function text(input: string): string {
  if (input.trim() === '') throw new SyntaxError('expected a value, found nothing');
  return input;
}

/** A parser of whole numbers from `least` on. */
export function wholeNumber(least: number): (input: string) => number {
  return (input) => {
    const value = Number(input);
    if (/^\d+$/.test(input) && Number.isSafeInteger(value) && value >= least) return value;
    throw new SyntaxError(`expected a whole number of at least ${least}`);
  };
}

/** A number above 0 and up to 1. */
export function fraction(input: string): number {
  const value = Number(input);
  if (input.trim() !== '' && value > 0 && value <= 1) return value;
  throw new SyntaxError('expected a number above 0 and up to 1');
}
