/**
 * @file Channels of a model made alike before it is quantized (SmoothQuant, DiTAS, AWQ): from a source to a source that computes the
 * same function, where no channel stands out as far. Scales and the folded model are artifacts; the original stays as it is.
 */
import { ENGINE_RELEASE } from '../../engine/release.js';
import { canonicalJson, sha256 } from '../../io/hash.js';
import { type Gathered, gatherMissing } from '../../run/gather.js';
import { openGguf } from '../../model/open-gguf.js';
import type { SourceModel } from '../../model/types.js';
import { affineSpec, AFFINE_VERSION } from '../../plan/affine-schemes.js';
import type { RunContext } from '../../run/context.js';
import type { RunEvent, Work } from '../../run/events.js';
import type { TaskIdentity } from '../../run/store.js';
import { againAfterCrash, stage, streamed } from '../../run/work.js';
import { spreadChunks, tokensHash, tokensOf, type TokenizedText } from '../../text/tokenize.js';
import type { EqualizeMode, SiteScales } from './choose.js';
import { refuseBadAlpha } from './scales.js';

/** What equalizing did to a model. */
export interface Equalization {
  readonly mode: EqualizeMode;
  /** What sizes of channels were measured on. */
  readonly text: { readonly name: string; readonly sha256: string; readonly tokens: number };
  /** Every input that matrices share, in the order of the blocks. */
  readonly sites: readonly SiteScales[];
}

/** A model with its channels made alike. `model.original` is what it was made from. */
export interface EqualizedModel {
  readonly model: SourceModel;
  readonly equalization: Equalization;
}

/** Tokens that sizes of channels are measured on, at most: the largest value of a channel comes early. */
const EQUALIZE_TOKENS = 8_192;

/**
 * Measures the channels of every input over the text and folds scales into the weights.
 * @throws BitsmithError `ALPHA_INVALID`, `GRAPH_UNSUPPORTED`, `ACTIVATION_NOT_FINITE`
 */
export async function* equalize(
  run: RunContext,
  model: SourceModel,
  text: TokenizedText,
  mode: EqualizeMode,
): Work<EqualizedModel> {
  if (mode.kind === 'alpha') refuseBadAlpha(mode.alpha);
  const sample = spreadChunks(text, EQUALIZE_TOKENS);
  return yield* stage('measure', 'sizes of channels', async function* () {
    const { values, cached } = yield* measureScales(run, model, sample, mode);
    const sites = values.flat();
    const file = yield* foldedFile(run, model, sites);
    const opened = await openGguf(file, run.store, { location: model.location, signal: run.signal });
    const equalized: EqualizedModel = {
      model: { ...opened, name: model.name, original: model },
      equalization: {
        mode,
        text: { name: text.name, sha256: text.sha256, tokens: tokensOf(sample) },
        sites,
      },
    };
    return { result: equalized, summary: summaryOf(sites), cached };
  });
}

/** The scales of every block, each an artifact: an interrupted search keeps the blocks that it finished. */
async function* measureScales(
  run: RunContext,
  model: SourceModel,
  text: TokenizedText,
  mode: EqualizeMode,
): AsyncGenerator<RunEvent, Gathered<readonly SiteScales[]>, void> {
  const blocks = 1 + Math.max(...model.tensors.map(({ block }) => block ?? -1));
  const tokens = tokensHash(text);
  const affine = mode.kind === 'search' && affineSpec(mode.rounding.scheme) !== undefined;
  return yield* gatherMissing<number, readonly SiteScales[]>(run, {
    items: Array.from({ length: blocks }, (_, block) => block),
    taskOf: (block) => ({
      kind: 'channel-scales',
      version: 1,
      parameters: {
        block,
        mode,
        positions: text.contextTokens,
        engine: ENGINE_RELEASE,
        ...(affine ? { affine: AFFINE_VERSION } : {}),
      },
      inputs: { model: model.sha256, tokens },
    }),
    label: 'sizes of channels',
    unit: 'measurements',
    work: (missing, store) =>
      run.engine.run(
        'equalize',
        {
          files: model.files.map(({ path }) => path),
          positions: text.contextTokens,
          sequences: text.chunks,
          mode,
          blocks: missing,
        },
        { signal: run.signal, onEvent: ({ block, sites }) => store(block, sites) },
      ),
  });
}

/** The folded model in the store: found there, or made now. */
async function* foldedFile(
  run: RunContext,
  model: SourceModel,
  sites: readonly SiteScales[],
): AsyncGenerator<RunEvent, string, void> {
  const scales = sites.map((site) => site.scales);
  const task: TaskIdentity = {
    kind: 'equalized',
    version: 1,
    parameters: { scales: sha256(canonicalJson(scales)) },
    inputs: { model: model.sha256 },
  };
  const known = await run.store.find(task, 'gguf');
  if (known !== null) return known;
  const output = run.store.temporaryPath('gguf');
  const parameters = {
    files: model.files.map(({ path }) => path),
    output,
    scales: scales.map((values) => Float32Array.from(values)),
  };
  yield* streamed<RunEvent, null>((emit) =>
    againAfterCrash(
      () =>
        run.engine.run('fold', parameters, {
          signal: run.signal,
          onEvent: ({ done, total }) =>
            emit({
              type: 'progress',
              stage: 'measure',
              done,
              total,
              unit: 'tensors',
              item: 'folded weights',
            }),
        }),
      (error) => emit({ type: 'note', level: 'warning', message: error.message }),
    ),
  );
  return await run.store.adopt(output, task, 'gguf');
}

function summaryOf(sites: readonly SiteScales[]): string {
  const worst = (ratios: number[]): string => Math.max(...ratios).toFixed(1);
  const before = worst(sites.map(({ outliers }) => outliers.before));
  const after = worst(sites.map(({ outliers }) => outliers.after));
  return `${sites.length} inputs; largest channel over the median one: ${before} at the most, now ${after}`;
}
