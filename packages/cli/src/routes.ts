/** @file The commands: their flags and help. What they do is loaded when they are called. */
import { buildCommand, buildRouteMap } from '@stricli/core';
import type { CliContext } from './context.js';
import {
  activationType,
  budgetFlags,
  equalizeFlag,
  fraction,
  gpuFlag,
  homeFlag,
  optional,
  outputFlags,
  planFlags,
  profileFlags,
  runFlags,
  text,
  textFlags,
  threadsFlag,
  tokenFlag,
  wholeNumber,
  workMemoryFlag,
} from './flags.js';
import type { AnalyzeFlags } from './commands/analyze.js';
import type { CacheGcFlags, CacheListFlags } from './commands/cache.js';
import type { ConvertFlags } from './commands/convert.js';
import type { EvaluateFlags } from './commands/evaluate.js';
import type { InspectFlags } from './commands/inspect.js';
import type { PlanCommandFlags } from './commands/plan.js';
import type { ProfileCreateFlags, ProfileListFlags, ProfileValidateFlags } from './commands/profile.js';
import type { QuantizeFlags } from './commands/quantize.js';

const modelHelp = `MODEL is a GGUF file, a folder with a Hugging Face model (safetensors), or a model on the Hub:
org/name, org/name@revision, org/name:file.gguf. What exists on this machine comes first.`;

function argument(placeholder: string, brief: string) {
  return { brief, placeholder, parse: text };
}

const model = argument('MODEL', 'GGUF file, Hugging Face folder, or org/name on the Hub');

const inspect = buildCommand<InspectFlags, [string], CliContext>({
  loader: async () => (await import('./commands/inspect.js')).inspect,
  parameters: {
    positional: { kind: 'tuple', parameters: [model] },
    flags: {
      tensors: { kind: 'boolean', default: false, withNegated: false, brief: 'List every tensor' },
      home: homeFlag,
      token: tokenFlag,
      ...outputFlags,
    },
  },
  docs: {
    brief: 'Show what a model is made of',
    fullDescription: `Shows what a model is made of: its architecture, and its tensors by role with their types and sizes.\n\n${modelHelp}`,
  },
});

const quantize = buildCommand<QuantizeFlags, [string], CliContext>({
  loader: async () => (await import('./commands/quantize.js')).quantize,
  parameters: {
    positional: { kind: 'tuple', parameters: [model] },
    flags: {
      ...budgetFlags,
      output: optional('File to write (default: named after the model and its plan, here)', 'FILE', text),
      ...planFlags,
      ...textFlags,
      noVerify: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'Do not measure the written file on the report text',
      },
      coherence: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'Look at text that the file writes (done in any case below 2.5 bits per weight)',
      },
      keepCollapsed: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'Put a file in place that does not write text any more',
      },
      ...runFlags,
      ...outputFlags,
    },
    aliases: { o: 'output' },
  },
  docs: {
    brief: 'Write the smallest-loss GGUF within a budget',
    fullDescription: `Measures what each tensor's quantization costs, decides for every tensor how to store it within the budget,
writes the GGUF, and measures on that file what it cost.

${modelHelp}

A budget is needed, or a --plan, a --preset of llama.cpp, or a --target or --policy with a budget of its own. Of several budgets, the tightest holds: --size, --bpw, --ratio and --memory say how large the file may
be, --max-kl, --max-ppl-increase and --min-cosine what it may lose; with these the smallest file that meets them is
written, confirmed on text that nothing was tuned on. An interrupted run keeps what it finished: the same command
continues it.

--max-tensor-error lifts a tensor whose written error misses it from 2 to 4, 8 and 16 bits, that tensor alone and within the
budget; with --plan or --preset the file grows as it needs. Below 2.5 bits per weight the file continues a few
prompts beside the source: one that has collapsed is not put in place, and the exit code is 12.

Beside every plan runs the best preset of llama.cpp that fits the same bytes; where it loses less, it is what you get.

  bitsmith quantize MODEL --size 1.2GB
  bitsmith quantize MODEL --bpw 3.5 -o OUT.gguf
  bitsmith quantize MODEL --ratio 5 --lock 'output=Q8_0'
  bitsmith quantize MODEL --memory 8GB --context 8192 --kv-type Q8_0
  bitsmith quantize MODEL --max-kl 0.01
  bitsmith quantize MODEL --preset Q4_K_M
  bitsmith quantize MODEL --preset Q2_K --max-tensor-error 0.25
  bitsmith quantize MODEL --target edge --policy attention-high
  bitsmith quantize MODEL --plan PLAN.yaml`,
  },
});

const plan = buildCommand<PlanCommandFlags, [string], CliContext>({
  loader: async () => (await import('./commands/plan.js')).plan,
  parameters: {
    positional: { kind: 'tuple', parameters: [model] },
    flags: {
      pareto: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'Draw size against predicted loss for all budgets; needs none',
      },
      plans: optional(
        'Whole plans that --pareto measures to read totals by; 0: none (default: 6)',
        'N',
        wholeNumber(0),
      ),
      ...budgetFlags,
      ...planFlags,
      ...textFlags,
      ...runFlags,
      ...outputFlags,
    },
    aliases: { o: 'savePlan' },
  },
  docs: {
    brief: 'Decide how to store every tensor, without writing the model',
    fullDescription: `Does what quantize does up to the plan: calibrates, measures and solves, but encodes nothing.

${modelHelp}

--schemes may name what no GGUF holds: affine codes of 2, 3, 4, 5, 6 or 8 bits in groups of 16, 32, 64, 128 or 256 weights or
of a whole row, and int8. Bits and group sizes are then planned as GGUF's types are.

--pareto needs no budget: it draws size against predicted loss for all of them from one measurement, beside llama.cpp's
presets, and says how to get any point.

  bitsmith plan MODEL --pareto
  bitsmith plan MODEL --bpw 4 --schemes k-quants,Q8_0
  bitsmith plan MODEL --bpw 4 --schemes affine
  bitsmith plan MODEL --bpw 3 --schemes affine2-g128,affine4-g128 -o PLAN.yaml`,
  },
});

const evaluate = buildCommand<EvaluateFlags, [string, string?], CliContext>({
  loader: async () => (await import('./commands/evaluate.js')).evaluate,
  parameters: {
    positional: {
      kind: 'tuple',
      parameters: [
        argument('SOURCE', 'The model as it was'),
        {
          ...argument('FILE', 'The quantized GGUF; none with --activations'),
          optional: true,
        },
      ],
    },
    flags: {
      ...textFlags,
      text: optional('Text to measure on, whole (default: the report text that comes along)', 'FILE', text),
      tokens: optional(
        'Tokens of the text to use at most (default: all; 20,480 with --activations)',
        'N',
        wholeNumber(1),
      ),
      activations: optional(
        'Compute the source itself with weights and activations in 8 bits: int8',
        'int8',
        activationType,
      ),
      activationScales: optional(
        'What shares a scale of activations: token, tensor, or static, calibrated beforehand (default: token)',
        'NAME',
        text,
      ),
      equalize: equalizeFlag,
      threads: threadsFlag,
      gpu: gpuFlag,
      home: homeFlag,
      token: tokenFlag,
      ...outputFlags,
    },
  },
  docs: {
    brief: 'Measure a file against its source: perplexity and KL divergence',
    fullDescription: `Runs both models over the same text and compares their predictions token by token, defined as by
llama-perplexity --kl-divergence.

With --activations int8 there is no FILE: the source runs beside itself with weights (int8, a scale a row) and activations of every
matrix rounded to 8 bits, really computed with. --text is then split, and only its last part is measured on.

  bitsmith evaluate MODEL FILE.gguf
  bitsmith evaluate MODEL --activations int8
  bitsmith evaluate MODEL --activations int8 --equalize 0.5`,
  },
});

const convert = buildCommand<ConvertFlags, [string], CliContext>({
  loader: async () => (await import('./commands/convert.js')).convert,
  parameters: {
    positional: { kind: 'tuple', parameters: [model] },
    flags: {
      output: { kind: 'parsed', parse: text, placeholder: 'FILE', brief: 'GGUF to write' },
      home: homeFlag,
      token: tokenFlag,
      ...outputFlags,
    },
    aliases: { o: 'output' },
  },
  docs: {
    brief: 'Convert a Hugging Face model to GGUF, weights as they are',
    fullDescription: `Converts a Hugging Face folder to GGUF without quantizing it.\n\n${modelHelp}`,
  },
});

const analyze = buildCommand<AnalyzeFlags, [string], CliContext>({
  loader: async () => (await import('./commands/analyze.js')).analyze,
  parameters: {
    positional: { kind: 'tuple', parameters: [model] },
    flags: {
      output: optional('Importance matrix to write, as GGUF that llama-quantize reads', 'FILE', text),
      method: optional('What tells how much a tensor matters; several share (see above)', 'NAME,...', text),
      samples: optional('Sequences to measure losses on', 'N', wholeNumber(1)),
      schemes: {
        kind: 'parsed',
        parse: text,
        optional: true,
        variadic: ',',
        placeholder: 'SCHEME,...',
        brief: 'Schemes to score (default: what each method affords)',
      },
      scores: optional('Write all scores as Parquet', 'FILE', text),
      workMemory: workMemoryFlag,
      // An analysis has no budget, so that the short name can only mean this.
      memory: { ...workMemoryFlag, hidden: true },
      plans: optional(
        'Whole plans to measure, to predict others by; 0: none (default: 6)',
        'N',
        wholeNumber(0),
      ),
      interactions: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'Test whether tensors interact, on 128 sequences',
      },
      coverage: optional('Share of the weights to report as most important', 'SHARE', fraction),
      resume: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'Insist that an interrupted analysis goes on (it does in any case)',
      },
      ...textFlags,
      ...runFlags,
      ...outputFlags,
    },
    aliases: { o: 'output' },
  },
  docs: {
    brief: 'Measure how sensitive each tensor is, and write the importance matrix',
    fullDescription: `Runs the model over text, writes its importance matrix, and ranks the tensors by what quantizing them costs.

${modelHelp}

--method takes one or several of these, with commas between; scores of several become shares of their sums, weighted
alike, by NAME=WEIGHT, or 0.40 rtn, 0.25 upgrade, 0.20 disable, 0.15 noise where just those four are named.

  variance    relative error of the weights, without any text
  activation  error of the outputs, by the importance matrix
  hessian     expected loss, by Gram matrices of inputs and gradients of outputs
  gradient    expected loss, by gradients of whole sequences (the default)
  disable     loss without a block: a pass for each block
  noise       loss under seeded noise: a pass for each tensor
  upgrade     loss recovered by lifting a tensor out of a low model: a pass each
  rtn         loss with one tensor quantized: a pass for each tensor and scheme

An interrupted analysis keeps what it finished: the same command continues it.

  bitsmith analyze MODEL --method rtn --schemes Q2_K,Q3_K,Q4_K
  bitsmith analyze MODEL --method rtn,upgrade,disable,noise --scores S.parquet
  bitsmith analyze MODEL --method rtn=0.7,noise=0.3 --samples 16`,
  },
});

const cacheList = buildCommand<CacheListFlags, [], CliContext>({
  loader: async () => (await import('./commands/cache.js')).list,
  parameters: { flags: { home: homeFlag, ...outputFlags } },
  docs: { brief: 'Show what earlier runs left to be used again' },
});

const cacheGc = buildCommand<CacheGcFlags, [], CliContext>({
  loader: async () => (await import('./commands/cache.js')).collect,
  parameters: {
    flags: {
      olderThan: {
        kind: 'parsed',
        parse: wholeNumber(0),
        default: '30',
        placeholder: 'DAYS',
        brief: 'Delete what no run has used for so many days; 0 for all (default: 30)',
      },
      dryRun: { kind: 'boolean', default: false, withNegated: false, brief: 'Only say what would go' },
      home: homeFlag,
      ...outputFlags,
    },
  },
  docs: { brief: 'Delete what has not been used for a while' },
});

const cache = buildRouteMap({
  routes: { ls: cacheList, gc: cacheGc },
  docs: { brief: 'List or clear what earlier runs left to be used again' },
});

const profileList = buildCommand<ProfileListFlags, [], CliContext>({
  loader: async () => (await import('./commands/profile.js')).list,
  parameters: { flags: { home: homeFlag, ...outputFlags } },
  docs: { brief: 'Show the profiles there are: policies, targets, and those of your own' },
});

const profileName = argument('NAME', 'Name of a profile, or a YAML or JSON file');

const profileShow = buildCommand<ProfileListFlags, [string], CliContext>({
  loader: async () => (await import('./commands/profile.js')).show,
  parameters: {
    positional: { kind: 'tuple', parameters: [profileName] },
    flags: { home: homeFlag, ...outputFlags },
  },
  docs: { brief: 'Print a profile as YAML' },
});

const profileCreate = buildCommand<ProfileCreateFlags, [string], CliContext>({
  loader: async () => (await import('./commands/profile.js')).create,
  parameters: {
    positional: { kind: 'tuple', parameters: [argument('NAME', 'Name to keep it under')] },
    flags: {
      ...profileFlags,
      from: optional('Begin with this profile', 'NAME|FILE', text),
      about: optional('What it is for', 'TEXT', text),
      force: {
        kind: 'boolean',
        default: false,
        withNegated: false,
        brief: 'Write over a profile of that name',
      },
      home: homeFlag,
      ...outputFlags,
    },
  },
  docs: {
    brief: 'Keep what these flags say under a name',
    fullDescription: `Keeps what these flags say as NAME.yaml in the folder profiles of the home (BITSMITH_HOME, or .bitsmith here), to be used
with --profile NAME.

  bitsmith profile create mine --policy balanced --bpw 3.6 --lock 'output=Q8_0'
  bitsmith quantize MODEL --profile mine`,
  },
});

const profileValidate = buildCommand<ProfileValidateFlags, [string], CliContext>({
  loader: async () => (await import('./commands/profile.js')).validate,
  parameters: {
    positional: { kind: 'tuple', parameters: [profileName] },
    flags: {
      model: optional('Hold it against this model, too', 'MODEL', text),
      home: homeFlag,
      token: tokenFlag,
      ...outputFlags,
    },
  },
  docs: { brief: 'Check a profile, and what it makes of a model' },
});

const profile = buildRouteMap({
  routes: { list: profileList, show: profileShow, create: profileCreate, validate: profileValidate },
  docs: {
    brief: 'Keep wishes under a name and use them again',
    fullDescription: `A profile says what flags of quantize and plan say, in YAML or JSON, and is used with --profile NAME or --profile FILE. What a
command line gives wins over it; locks and floors of both hold.`,
  },
});

export const routes = buildRouteMap({
  routes: { quantize, inspect, plan, analyze, evaluate, convert, profile, cache },
  docs: {
    brief: 'The smallest file that loses least',
    fullDescription: `Bitsmith takes a trained model and a budget, and returns the smallest-loss file within it, with the proof measured
on the file that it wrote.

  bitsmith quantize models/orator-8m --size 4.5MB
  bitsmith quantize Qwen/Qwen3-0.6B --bpw 3.5 -o qwen.gguf

Results go to stdout, progress to stderr.`,
  },
});
