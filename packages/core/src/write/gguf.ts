/** @file The metadata of a written GGUF: the source's own keys, what llama-quantize would add, and how the file was made. */
import {
  type GgufLayout,
  type GgufMetadata,
  type GgufValue,
  ggufString,
  ggufUint32,
  layoutGguf,
  type TensorType,
} from '@bitsmith/formats';
import type { Calibration } from '../calibrate/calibrate.js';
import { originalOf, type SourceModel } from '../model/types.js';
import { fileTypeOf } from '../plan/file-type.js';
import { bitsmithVersion } from '../run/versions.js';

/** ggml's version of the quantized block formats (`GGML_QNT_VERSION`). */
const QUANTIZATION_VERSION = 2;

/** Stands where the hash will: the header's size must not depend on the plan. */
export const EMPTY_HASH = '0'.repeat(64);

/** Keys that would be false of the written file: the source's splitting and making, and its alignment (32 is written). */
const DROPPED = /^(split\.|quantize\.imatrix\.|bitsmith\.|general\.alignment$)/;

export interface OutputDescription {
  readonly model: SourceModel;
  /** Scheme of every tensor, in the source's order. */
  readonly schemes: readonly TensorType[];
  readonly planHash: string;
  /** What the importance matrix was measured on; null while it is not known yet. */
  readonly calibration: Pick<Calibration, 'dataset' | 'sha256'>;
}

/** The written file's header and the place of every tensor. */
export function layoutOutput({ model, schemes, planHash, calibration }: OutputDescription): GgufLayout {
  const tensors = model.tensors.map(({ name, shape }, index) => ({ name, shape, type: schemes[index] }));
  return layoutGguf({ metadata: outputMetadata(model, schemes, planHash, calibration), tensors });
}

function outputMetadata(
  model: SourceModel,
  schemes: readonly TensorType[],
  planHash: string,
  calibration: OutputDescription['calibration'],
): GgufMetadata {
  const metadata = new Map<string, GgufValue>();
  for (const [key, value] of model.metadata) if (!DROPPED.test(key)) metadata.set(key, value);
  const stored = model.tensors.map(({ elements }, index) => ({ elements, type: schemes[index] }));
  metadata.set('general.file_type', ggufUint32(fileTypeOf(stored)));
  metadata.set('general.quantization_version', ggufUint32(QUANTIZATION_VERSION));
  metadata.set('quantize.imatrix.dataset', ggufString(calibration.dataset));
  metadata.set('bitsmith.version', ggufString(bitsmithVersion));
  metadata.set('bitsmith.plan_hash', ggufString(planHash));
  metadata.set('bitsmith.source_sha256', ggufString(originalOf(model).sha256));
  if (model.original !== undefined) metadata.set('bitsmith.equalized_sha256', ggufString(model.sha256));
  metadata.set('bitsmith.importance_sha256', ggufString(calibration.sha256));
  return metadata;
}
