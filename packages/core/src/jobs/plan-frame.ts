/**
 * @file What a plan is made within: the model, what each of its tensors may become under the user's locks, floors, couplings,
 * policy and allowed schemes, and the header's size. All of it is known before anything is measured.
 */
import { datasetOf } from '../calibrate/calibrate.js';
import { readImportance } from '../io/read-importance.js';
import { openModel } from '../model/open.js';
import type { SourceModel } from '../model/types.js';
import { refuseNotGguf, type SchemeDemand } from '../plan/container.js';
import { type CouplingKind, parseCouplings } from '../plan/coupling.js';
import { type Floor, parseFloor } from '../plan/floors.js';
import { type Lock, parseLock } from '../plan/locks.js';
import { tensorLocks } from '../plan/profiles/tensor-locks.js';
import { parseSchemes } from '../plan/scheme-list.js';
import type { CatalogueScheme } from '../plan/schemes.js';
import { type Shape, shapeOf } from '../plan/shape.js';
import type { RunContext, RunOptions } from '../run/context.js';
import type { Work } from '../run/events.js';
import { type Corpus, loadCorpus } from '../text/corpus.js';
import type { Equalization } from '../transform/equalize/equalize.js';
import { EMPTY_HASH, layoutOutput } from '../write/gguf.js';
import { refuseSource, refuseUnwritable } from './output.js';
import type { EqualizeOptions } from '../transform/equalize/parse.js';
import type { ProfileOptions } from './profiles.js';
import type { TextOptions } from './texts.js';

/** What shapes the frame. */
export interface FrameOptions extends RunOptions, ProfileOptions, TextOptions, EqualizeOptions {
  /** A `.gguf` file, a Hugging Face folder, or a hub id. */
  readonly model: string;
  /** `REGEX=SCHEME`: matching tensors are stored so, whatever the prices say. */
  readonly locks?: readonly string[];
  /** `ROLE=SCHEME` or `ROLE=4bit`: tensors of the role get nothing below, unless they are locked. */
  readonly floors?: readonly string[];
  /** Tensors that must share a scheme: `qkv`, `gate-up`, `fused` for all, `none` (the default: GGUF needs none). */
  readonly couple?: readonly string[];
  /**
   * What the planner may choose from: schemes (`Q4_K`, `affine4-g64`, `int8`) and families (`k-quants`, `affine`, `affine4`, ...).
   * Default: all that GGUF can hold. Locks and plan files may name any.
   */
  readonly schemes?: readonly string[];
  /** Where the plan goes as YAML. */
  readonly savePlan?: string;
  /** Where llama-quantize's `--tensor-type-file` goes. */
  readonly tensorTypeFile?: string;
  /** Token for gated models on the hub; default `HF_TOKEN`. */
  readonly token?: string;
}

/** What is known of the output before anything is measured. */
export interface Frame extends Shape {
  readonly model: SourceModel;
  readonly headerBytes: number;
  readonly corpus: Corpus;
  /** What made the model's channels alike; null where nothing did. */
  readonly equalization: Equalization | null;
}

/** The user's words, read. */
export interface AskedFrame {
  /** Files that the run will write. */
  readonly outputs: readonly string[];
  readonly locks: readonly Lock[];
  readonly floors: readonly Floor[];
  readonly couplings: readonly CouplingKind[];
  readonly allowed: readonly CatalogueScheme[];
  /** True where schemes that GGUF cannot hold are refused. */
  readonly inGguf: boolean;
}

/**
 * Reads what can be read without the model.
 * @param output the file that the run will write, where it is known by now
 * @param container what will be written of the plan: schemes that it cannot hold are refused at once
 */
export function parseFrame(options: FrameOptions, output?: string, container?: 'gguf'): AskedFrame {
  const locks = (options.locks ?? []).map(parseLock);
  const allowed = parseSchemes(options.schemes);
  const inGguf = container === 'gguf' || options.tensorTypeFile !== undefined;
  if (inGguf) refuseNotGguf([...demandsOf(allowed, options.schemes), ...locks.map(demandOfLock)]);
  return {
    outputs: [output, options.savePlan, options.tensorTypeFile].filter((file) => file !== undefined),
    locks,
    floors: (options.floors ?? []).map(parseFloor),
    couplings: parseCouplings(options.couple ?? []),
    allowed,
    inGguf,
  };
}

/** Opens the model and applies to it what was asked. */
export async function* openFrame(run: RunContext, options: FrameOptions, asked: AskedFrame): Work<Frame> {
  const { outputs } = asked;
  for (const file of outputs) await refuseUnwritable(file);
  const corpus = await loadCorpus(options.text);
  const { store, signal } = run;
  const model = yield* openModel(options.model, { store, token: options.token, signal });
  for (const file of outputs) await refuseSource(file, model);
  return await frameOf(model, corpus, options, asked);
}

/** The frame of a model that is open. */
export async function frameOf(
  model: SourceModel,
  corpus: Corpus,
  options: FrameOptions,
  asked: AskedFrame,
): Promise<Frame> {
  const named = tensorLocks(options.tensors ?? {}, model.tensors);
  if (asked.inGguf) refuseNotGguf(named.map(demandOfLock));
  const { policy, schemes } = options;
  const shape = shapeOf(model, { ...asked, locks: [...asked.locks, ...named], schemes, policy });
  const dataset = await datasetName(options, corpus);
  return { model, ...shape, corpus, headerBytes: headerBytes(model, dataset), equalization: null };
}

function demandsOf(allowed: readonly CatalogueScheme[], asked: FrameOptions['schemes'] = []): SchemeDemand[] {
  return allowed.map(({ id }) => ({ scheme: id, where: `--schemes ${asked.join(',')}` }));
}

function demandOfLock({ text, scheme }: Lock): SchemeDemand {
  return { scheme, where: `lock '${text}'` };
}

/** What the importance matrix was or will be measured on: it stands in the header, so it is part of its size. */
async function datasetName(options: FrameOptions, corpus: Corpus): Promise<string> {
  if (options.importanceMatrix === undefined) return corpus.calibration.name;
  return datasetOf(await readImportance(options.importanceMatrix, options.signal));
}

/** The header's size, which does not depend on the plan: hashes and file type have a fixed length. */
function headerBytes(model: SourceModel, dataset: string): number {
  const schemes = model.tensors.map(({ type }) => type);
  return layoutOutput({ model, schemes, planHash: EMPTY_HASH, calibration: { dataset, sha256: EMPTY_HASH } })
    .header.byteLength;
}
