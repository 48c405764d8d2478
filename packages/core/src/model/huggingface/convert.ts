/**
 * @file Converts a Hugging Face model folder to GGUF: a description first (metadata, tensors, how to stream each), so that the
 * size is known and everything is checked before a byte is written. Equal to llama.cpp v0.4.0's `convert_hf_to_gguf.py` in
 * every key, value and tensor.
 */
import {
  BitsmithError,
  type ByteSink,
  type GgufMetadata,
  type GgufTensorSpec,
  layoutGguf,
  writeGguf,
} from '@bitsmith/formats';
import { Hparams } from './config/hparams.js';
import { loadModelConfig } from './config/load-config.js';
import { ropeParameters } from './config/rope-parameters.js';
import { quantizationMethod } from './config/text-parameters.js';
import type { ComputedTensor, ConversionContext } from './family.js';
import { type FolderReader, type JsonObject, ModelFolder } from './folder.js';
import { MetadataBuilder } from './metadata-builder.js';
import { writeGeneral } from './metadata/general.js';
import { readModelCard } from './metadata/model-card.js';
import { familyOf } from './registry.js';
import { fileTypes, guessOutputType, type OutputType } from './tensors/output-type.js';
import { type PlannedTensor, planTensors } from './tensors/plan-tensors.js';
import { produceTensor } from './tensors/produce-tensor.js';
import { listSourceTensors } from './tensors/source-tensors.js';

/** The layout version of ggml's quantized types, which every file names. */
const QUANTIZATION_VERSION = 2;

export interface ConvertedTensor {
  readonly spec: GgufTensorSpec;
  /** Writes exactly the tensor's bytes, a few mebibytes at a time. */
  produce(sink: ByteSink, signal?: AbortSignal): Promise<void>;
}

export interface ConvertedModel {
  /** GGUF's name of the architecture. */
  readonly architecture: string;
  readonly metadata: GgufMetadata;
  /** In the order of the file. */
  readonly tensors: readonly ConvertedTensor[];
  /** The type of the matrices; vectors are F32. */
  readonly outputType: OutputType;
}

export interface ConvertOptions {
  /** Type of the matrices. `auto` (default): that of the first half-precision matrix, F16 where there is none. */
  readonly outputType?: OutputType | 'auto';
  readonly signal?: AbortSignal;
}

/**
 * Describes the GGUF of a model folder. Reads configuration, tokenizer and the headers of the weights; the weights themselves are read
 * when the tensors are produced, so the folder must stay open until then.
 * @throws BitsmithError `ARCHITECTURE_UNSUPPORTED`, `MODEL_*`, `TOKENIZER_*`, `WEIGHTS_*`, `SHARD_*` and what the readers throw.
 */
export async function convertHuggingFace(
  reader: FolderReader,
  options: ConvertOptions = {},
): Promise<ConvertedModel> {
  const { signal } = options;
  signal?.throwIfAborted();
  const folder = await ModelFolder.load(reader, signal);
  const config = await loadModelConfig(folder, signal);
  const family = familyOf(config.architecture);
  const { hparams } = config;
  refuseQuantized(hparams);

  const sources = await listSourceTensors(folder, signal);
  const wanted = options.outputType ?? 'auto';
  const outputType = wanted === 'auto' ? guessOutputType(sources) : wanted;
  const blockCount = hparams.count('n_layers', 'num_hidden_layers', 'n_layer', 'num_layers');
  const rope = ropeParameters(hparams);
  const context: ConversionContext = {
    folder,
    config,
    hparams,
    rope,
    blockCount,
    fileType: fileTypes[outputType],
    signal,
  };
  await family.check?.(context);

  const planned = planTensors(sources, await family.tensorRules(context), blockCount, outputType);
  const metadata = new MetadataBuilder(family.ggufArchitecture);
  const computed = family.computedTensors?.(metadata, context) ?? [];
  const tensors = [...computed.map(computedTensor), ...planned.map(streamedTensor)];
  writeGeneral(metadata, {
    card: await readModelCard(folder, signal),
    config: config.raw,
    generation: await generationConfig(folder, signal),
    folderName: folder.name,
    parameterCount: parameterCount(tensors),
  });
  await family.writeParameters(metadata, context);
  metadata.uint32('general.quantization_version', QUANTIZATION_VERSION);
  await family.writeVocabulary(metadata, context);
  return { architecture: family.ggufArchitecture, metadata: metadata.build(), tensors, outputType };
}

/** Writes a converted model as one GGUF file. `onTensor` is called before each tensor. */
export async function writeConvertedModel(
  model: ConvertedModel,
  sink: ByteSink,
  options: { signal?: AbortSignal; onTensor?: (spec: GgufTensorSpec, index: number) => void } = {},
): Promise<void> {
  const { signal, onTensor } = options;
  const layout = layoutGguf({ metadata: model.metadata, tensors: model.tensors.map(({ spec }) => spec) });
  const write = async (_tensor: GgufTensorSpec, index: number, target: ByteSink): Promise<void> => {
    const tensor = model.tensors[index];
    onTensor?.(tensor.spec, index);
    await tensor.produce(target, signal);
  };
  await writeGguf(sink, layout, write, { signal });
}

function refuseQuantized(hparams: Hparams): void {
  const method = quantizationMethod(hparams);
  if (method === undefined) return;
  throw new BitsmithError('unsupported', 'MODEL_QUANTIZED', `the weights are already quantized (${method})`, {
    expected: 'weights in F32, F16 or BF16',
    found: method,
    suggestion: 'Start from the unquantized model: quantizing twice loses twice.',
  });
}

/** Advice on sampling; a file that cannot be read gives none. */
async function generationConfig(folder: ModelFolder, signal?: AbortSignal): Promise<JsonObject> {
  try {
    return (await folder.json('generation_config.json', signal)) ?? {};
  } catch (error) {
    if (error instanceof BitsmithError && error.code === 'MODEL_JSON') return {};
    throw error;
  }
}

function computedTensor({ name, values }: ComputedTensor): ConvertedTensor {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return {
    spec: { name, type: 'F32', shape: [values.length] },
    produce: (sink, signal) => sink.write(bytes, signal),
  };
}

function streamedTensor(planned: PlannedTensor): ConvertedTensor {
  return { spec: planned.spec, produce: (sink, signal) => produceTensor(planned, sink, signal) };
}

function parameterCount(tensors: readonly ConvertedTensor[]): number {
  return tensors.reduce(
    (sum, { spec }) => sum + spec.shape.reduce((product, extent) => product * extent, 1),
    0,
  );
}
