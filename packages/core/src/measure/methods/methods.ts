/** @file The importance methods that there are, by name, and the choice among them. */
import { BitsmithError } from '@bitsmith/formats';
import type { SourceModel } from '../../model/types.js';
import { nearestNames } from '../../plan/nearest-names.js';
import type { Work } from '../../run/events.js';
import { tokensHash } from '../../text/tokenize.js';
import { activationScores } from './activation.js';
import { canDisable, disableScores } from './disable.js';
import type { MethodChoice, MethodEntry, MethodInput, ScoreSet } from './method.js';
import { gradientScores } from './gradient.js';
import { hessianScores } from './hessian.js';
import { noiseScores } from './noise.js';
import { rtnScores } from './rtn.js';
import type { Method } from './score.js';
import { upgradeScores } from './upgrade.js';
import { varianceScores } from './variance.js';
import { hasGraph } from '../../transformer/shape.js';

const anyModel = (): boolean => true;

/** In the order of what they cost. */
export const methodTable: Readonly<Partial<Record<Method, MethodEntry>>> = {
  variance: {
    brief: 'relative error of the weights',
    data: 'none',
    seeded: false,
    runsOn: anyModel,
    scores: varianceScores,
  },
  activation: {
    brief: 'error of the outputs, by the importance matrix',
    data: 'importance',
    seeded: false,
    runsOn: anyModel,
    scores: activationScores,
  },
  hessian: {
    brief: 'expected loss, by Gram matrices of inputs and second moments of output gradients',
    data: 'gradient-text',
    seeded: true,
    runsOn: hasGraph,
    scores: hessianScores,
  },
  gradient: {
    brief: 'expected loss, by squared gradients of whole sequences',
    data: 'gradient-text',
    seeded: true,
    runsOn: hasGraph,
    scores: gradientScores,
  },
  disable: {
    brief: 'loss without a block',
    data: 'text',
    seeded: false,
    runsOn: canDisable,
    scores: disableScores,
  },
  noise: {
    brief: 'loss under noise in one tensor',
    data: 'text',
    seeded: true,
    runsOn: anyModel,
    scores: (input) => noiseScores(input),
  },
  upgrade: {
    brief: 'loss recovered by lifting one tensor out of a low model',
    data: 'text',
    seeded: false,
    runsOn: anyModel,
    scores: upgradeScores,
  },
  rtn: {
    brief: 'loss with one tensor quantized',
    data: 'text',
    seeded: false,
    runsOn: anyModel,
    scores: rtnScores,
  },
};

/** Used where none is named: the best that is affordable. */
export const defaultMethod: Method = methodTable.gradient === undefined ? 'rtn' : 'gradient';

/**
 * Reads `NAME` or `NAME=WEIGHT`, separated by commas. Weights are given to all or to none.
 * @throws BitsmithError `METHOD_UNKNOWN`, `METHOD_REPEATED`, `METHOD_WEIGHTS`
 */
export function parseMethods(text: string): readonly MethodChoice[] {
  const choices = text.split(',').map((part): MethodChoice => {
    const [name, weight, ...rest] = part.trim().split('=');
    if (rest.length > 0) throw badWeights(text);
    return { method: methodNamed(name.trim()), weight: weight === undefined ? null : weightOf(weight, text) };
  });
  const repeated = choices.find(({ method }, index) =>
    choices.slice(0, index).some((other) => other.method === method),
  );
  if (repeated !== undefined) {
    throw new BitsmithError(
      'arguments',
      'METHOD_REPEATED',
      `expected each method once, found ${repeated.method} twice`,
    );
  }
  if (choices.some(({ weight }) => weight === null) && choices.some(({ weight }) => weight !== null)) {
    throw badWeights(text);
  }
  return choices;
}

function methodNamed(name: string): Method {
  const known = methodNames();
  const method = known.find((each) => each === name.toLowerCase());
  if (method !== undefined) return method;
  const [near] = nearestNames(name.toLowerCase(), known);
  throw new BitsmithError(
    'arguments',
    'METHOD_UNKNOWN',
    `expected a method out of ${known.join(', ')}, found '${name}'`,
    {
      suggestion:
        near === undefined ? 'Name one or several of them, separated by commas.' : `Did you mean ${near}?`,
    },
  );
}

function weightOf(text: string, all: string): number {
  const weight = Number(text);
  if (text.trim() === '' || !Number.isFinite(weight) || weight <= 0) throw badWeights(all);
  return weight;
}

function badWeights(found: string): BitsmithError {
  return new BitsmithError(
    'arguments',
    'METHOD_WEIGHTS',
    `expected methods with a weight above 0 each, or all without, found '${found}'`,
    { suggestion: 'For example --method rtn=0.6,noise=0.4, or --method rtn,noise.' },
  );
}

/** The asked methods that can score a model, and those that cannot. */
export interface RunnableMethods {
  readonly runnable: readonly MethodChoice[];
  readonly left: readonly Method[];
}

/**
 * Sorts the asked methods by whether they can score this model.
 * @throws BitsmithError `METHOD_UNSUPPORTED` where none can, naming those that could
 */
export function methodsFor(model: SourceModel, choices: readonly MethodChoice[]): RunnableMethods {
  const runs = (method: Method): boolean => methodTable[method]?.runsOn(model) === true;
  const runnable = choices.filter(({ method }) => runs(method));
  const left = choices.map(({ method }) => method).filter((method) => !runs(method));
  if (runnable.length > 0) return { runnable, left };
  throw methodUnsupported(model, left);
}

/** The methods that can score a model whether there is a graph for it or not. */
export function methodsWithoutGraph(model: SourceModel): readonly Method[] {
  return methodNames().filter((name) => {
    const entry = methodTable[name];
    return entry !== undefined && entry.data !== 'gradient-text' && entry.runsOn(model);
  });
}

/** None of the methods that were asked for can score the model. */
export function methodUnsupported(model: SourceModel, left: readonly Method[]): BitsmithError {
  const others = methodsWithoutGraph(model);
  return new BitsmithError(
    'unsupported',
    'METHOD_UNSUPPORTED',
    `expected a method that can score a model of the family ${model.architecture}, found ${left.join(', ')}`,
    {
      expected: others.join(', '),
      suggestion: `Use --method ${others.at(-1)}; these can: ${others.join(', ')}.`,
    },
  );
}

/** Runs one method. */
export async function* scoresOf(method: Method, input: MethodInput): Work<ScoreSet> {
  const entry = methodTable[method];
  if (entry === undefined) throw new Error(`no method ${method}`);
  const scores = yield* entry.scores(input);
  const seed = entry.seeded ? input.run.seed : null;
  return { method, scores, textHash: textHashOf(entry, input), seed };
}

function textHashOf({ data }: MethodEntry, { text, gradientText, calibration }: MethodInput): string | null {
  switch (data) {
    case 'text':
      return tokensHash(text);
    case 'gradient-text':
      return tokensHash(gradientText);
    case 'importance':
      return calibration.sha256;
    case 'none':
      return null;
    default:
      return data satisfies never;
  }
}

/** The names of the methods that there are. */
function methodNames(): readonly Method[] {
  return Object.keys(methodTable) as Method[];
}
