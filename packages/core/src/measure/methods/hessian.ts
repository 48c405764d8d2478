/**
 * @file The price of a scheme under the full Gram matrix of its tensor's inputs: 1/2 sum_i E[g_i^2] (dW H dW')_ii, with g_i the
 * gradient of the sampled labels' log-probability by output i at one position. It sees errors that are correlated on
 * purpose; unlike `gradient` it takes positions to be independent. An embedding that is only looked up has no inputs:
 * `gradient` speaks for it.
 */
import { gradientPrices } from '../gradients/prices.js';
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import { spreadSamples } from '../../text/tokenize.js';
import { scoresOfPrices } from './gradient.js';
import { defaultSamples, measureGradients } from '../gradients/gradients.js';
import { measureGrams } from '../../gram/grams.js';
import type { MethodInput } from './method.js';
import type { Score } from './score.js';

/** The scores of every wanted scheme, from gradients and Gram matrices of sequences spread over the text. */
export async function* hessianScores(input: MethodInput): Work<Score[]> {
  const { run, model, calibration, gradientText: text, wanted } = input;
  return yield* stage('measure', `Gram matrices and gradients on ${text.name}`, async function* () {
    const samples = input.samples ?? defaultSamples(text);
    const gradients = yield* measureGradients(run, model, text, { samples, memoryBytes: input.memoryBytes });
    const grams = yield* measureGrams(run, model, spreadSamples(text, samples), input.memoryBytes);
    const prices = yield* gradientPrices(run, model, calibration, gradients, wanted, grams);
    const scores = scoresOfPrices('hessian', wanted, prices.values);
    const tokens = samples * text.contextTokens;
    const summary = `Gram matrices and gradients of ${tokens.toLocaleString('en')} tokens, ${scores.length.toLocaleString('en')} scores`;
    return { result: scores, summary, cached: gradients.cached && grams.cached && prices.cached };
  });
}
