/**
 * @file Whether a written file still writes text. Losses are means over positions of given text, and a model can look tolerable
 * there and write nonsense of its own: so both models continue a few prompts, and signs of collapse are looked for.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { SourceModel } from '../model/types.js';
import { mulberry32 } from '../run/mulberry32.js';
import type { RunContext } from '../run/context.js';
import type { RunEvent, Work } from '../run/events.js';
import { againAfterCrash, stage, streamed } from '../run/work.js';
import type { TokenizedText } from '../text/tokenize.js';
import type { CoherenceTask, Continuations } from './coherence-task.js';
import { meanWithError } from './summary.js';
import type { Measured } from './types.js';

/**
 * What tells that a model has collapsed: it `disagrees` with the source nearly everywhere, `repeats` itself, or its predictions are
 * `flat` (nearly anything may follow) or `fixed` (nearly one thing alone).
 */
export type CollapseSign = 'disagrees' | 'repeats' | 'flat' | 'fixed';

/** Of the source and of the written file. */
interface Pair {
  readonly source: number;
  readonly output: number;
}

export interface Coherence {
  readonly evidence: 'measured';
  readonly seed: number;
  /** Tokens that the source wrote, over all prompts. */
  readonly tokens: number;
  /** Share of them at which both models put the same token first. */
  readonly agreement: Measured;
  /** Share of runs of four tokens that the same continuation has had before, in each model's own text. */
  readonly repetition: Pair;
  /** Mean entropy of the predictions along the source's text, in nats. */
  readonly entropyNats: Pair;
  /** Empty for a file that writes text. */
  readonly signs: readonly CollapseSign[];
  readonly texts: readonly { readonly prompt: string; readonly source: string; readonly output: string }[];
}

const PROMPTS = 6;
const PROMPT_TOKENS = 24;
const ADDED_TOKENS = 48;

/** Runs of so many tokens that come again are repetition. */
const RUN_TOKENS = 4;

/** Any fluent text shares more with what the source would say; a model that only knows which words are frequent does not. */
const LEAST_AGREEMENT = 0.2;
/** More repetition than the source's. */
const MOST_REPETITION = 0.3;
/** Of the way from the source's entropy to that of knowing nothing. */
const MOST_FLATNESS = 0.5;
/** Of the source's entropy. */
const LEAST_ENTROPY_SHARE = 0.25;

/** @param text its chunks begin with the prompts */
export async function* checkCoherence(
  run: RunContext,
  source: SourceModel,
  outputPath: string,
  text: TokenizedText,
): Work<Coherence> {
  return yield* stage('verify', 'text that both models write', async function* () {
    const answer = yield* streamed<RunEvent, CoherenceTask['result']>((emit) =>
      againAfterCrash(
        () => writeBoth(run, source, outputPath, text, emit),
        (error) => emit({ type: 'note', level: 'warning', message: error.message }),
      ),
    );
    const result = describeCoherence(answer, run.seed);
    const agreement = `${(100 * result.agreement.value).toFixed(1)} % of ${result.tokens} tokens agree`;
    const summary = result.signs.length === 0 ? agreement : `${agreement}: ${result.signs.join(', ')}`;
    return { result, summary, cached: false };
  });
}

function writeBoth(
  run: RunContext,
  source: SourceModel,
  outputPath: string,
  text: TokenizedText,
  emit: (event: RunEvent) => void,
): Promise<CoherenceTask['result']> {
  const half = Math.floor(text.contextTokens / 2);
  const prompts = promptsOf(text, Math.min(PROMPT_TOKENS, half), run.seed);
  const tokens = Math.min(ADDED_TOKENS, half);
  const total = prompts.length + tokens;
  let done = 0;
  return run.engine.run(
    'coherence',
    {
      sourcePath: source.ggufPath,
      outputPath,
      prompts,
      tokens,
      seed: run.seed,
    },
    {
      signal: run.signal,
      onEvent: (event) => {
        done += event.steps;
        emit({ type: 'progress', stage: 'verify', done: Math.floor(done), total, unit: 'measurements' });
      },
    },
  );
}

/** Beginnings of chunks that the seed picks. */
function promptsOf({ chunks }: TokenizedText, tokens: number, seed: number): Int32Array[] {
  const random = mulberry32(seed);
  return chunks
    .map((chunk) => ({ chunk, rank: random() }))
    .toSorted((a, b) => a.rank - b.rank)
    .slice(0, PROMPTS)
    .map(({ chunk }) => chunk.slice(0, tokens));
}

/** What the continuations say, and which signs of collapse they show. */
export function describeCoherence(
  { continuations, vocabulary }: CoherenceTask['result'],
  seed: number,
): Coherence {
  const along = (of: (each: Continuations) => ArrayLike<number>): number[] =>
    continuations.flatMap((each) => Array.from(of(each)));
  const facts = {
    agreement: meanWithError(along(({ sameTop }) => sameTop)),
    repetition: {
      source: repetitionOf(continuations.map(({ source }) => source.tokens)),
      output: repetitionOf(continuations.map(({ output }) => output.tokens)),
    },
    entropyNats: {
      source: meanWithError(along(({ source }) => source.entropyNats)).value,
      output: meanWithError(along(({ output }) => output.entropyNats)).value,
    },
  };
  const tokens = along(({ sameTop }) => sameTop).length;
  return {
    evidence: 'measured',
    seed,
    tokens,
    ...facts,
    // A source that ends every text at once shows nothing.
    signs: tokens === 0 ? [] : signsOf(facts, Math.log(vocabulary)),
    texts: continuations.map(({ prompt, source, output }) => ({
      prompt,
      source: source.text,
      output: output.text,
    })),
  };
}

function signsOf(
  { agreement, repetition, entropyNats }: Pick<Coherence, 'agreement' | 'repetition' | 'entropyNats'>,
  mostNats: number,
): CollapseSign[] {
  const { source, output } = entropyNats;
  const shows: Record<CollapseSign, boolean> = {
    disagrees: agreement.value < LEAST_AGREEMENT,
    repeats: repetition.output - repetition.source > MOST_REPETITION,
    flat: output - source > MOST_FLATNESS * (mostNats - source),
    fixed: output < LEAST_ENTROPY_SHARE * source,
  };
  return (Object.keys(shows) as CollapseSign[]).filter((sign) => shows[sign]);
}

/** Share of the runs that came before in the same text. */
function repetitionOf(texts: readonly Int32Array[]): number {
  let runs = 0;
  let repeated = 0;
  for (const tokens of texts) {
    const seen = new Set<string>();
    for (let first = 0; first + RUN_TOKENS <= tokens.length; first++) {
      const run = tokens.subarray(first, first + RUN_TOKENS).join();
      runs++;
      if (seen.has(run)) repeated++;
      seen.add(run);
    }
  }
  return runs === 0 ? 0 : repeated / runs;
}

const words: Readonly<Record<CollapseSign, (found: Coherence) => string>> = {
  disagrees: ({ agreement }) => `agrees with the source on ${percent(agreement.value)} of the source's text`,
  repeats: ({ repetition }) =>
    `repeats ${percent(repetition.output)} of its own (the source ${percent(repetition.source)})`,
  flat: ({ entropyNats }) => `hardly predicts anything (${entropies(entropyNats)})`,
  fixed: ({ entropyNats }) => `predicts nearly the same everywhere (${entropies(entropyNats)})`,
};

/** The signs in words. */
export function collapseWords(found: Coherence): string {
  return found.signs.map((sign) => words[sign](found)).join(' and ');
}

/** @throws BitsmithError kind `incoherent` (exit code 12) for a file that shows signs of collapse */
export function refuseCollapsed(found: Coherence, bitsPerWeight: number): void {
  if (found.signs.length === 0) return;
  throw new BitsmithError(
    'incoherent',
    'OUTPUT_INCOHERENT',
    `expected a file that writes text as the source does, found one of ${bitsPerWeight.toFixed(2)} bits per weight that ${collapseWords(found)}`,
    {
      expected: 'coherent text',
      found: `signs of collapse: ${found.signs.join(', ')}`,
      suggestion:
        'The file was not put in place. Allow more bits, or have it all the same: the same command with --keep-collapsed encodes nothing again.',
    },
  );
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function entropies({ source, output }: Pair): string {
  return `${output.toFixed(2)} nats of entropy, the source ${source.toFixed(2)}`;
}
