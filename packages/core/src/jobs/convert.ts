/** @file A Hugging Face folder or hub id as a GGUF in the source's own precision, byte for byte what llama.cpp's converter makes. */
import path from 'node:path';
import { BitsmithError } from '@bitsmith/formats';
import { copyIntoPlace } from '../io/file-sink.js';
import { openModel } from '../model/open.js';
import type { SourceModel } from '../model/types.js';
import { inRun, type RunOptions } from '../run/context.js';
import type { Work } from '../run/events.js';
import { refuseSource, refuseUnwritable } from './output.js';

export interface ConvertOptions extends RunOptions {
  readonly model: string;
  /** The GGUF to write. */
  readonly output: string;
  readonly token?: string;
}

export interface ConvertResult {
  readonly status: 'success';
  readonly path: string;
  readonly byteLength: number;
  readonly sha256: string;
  readonly model: Pick<SourceModel, 'name' | 'architecture' | 'parameterCount' | 'dtype'>;
}

/** Converts; the file appears complete or not at all. */
export async function* convert(options: ConvertOptions): Work<ConvertResult> {
  return yield* inRun(options, async function* (run) {
    await refuseUnwritable(options.output);
    const open = { store: run.store, token: options.token, signal: run.signal };
    const model = yield* openModel(options.model, open);
    if (model.files.length > 1) {
      throw new BitsmithError(
        'unsupported',
        'CONVERT_SPLIT',
        `expected a model in one file, found a GGUF in ${model.files.length} splits`,
        {
          suggestion: 'A GGUF needs no conversion: quantize reads splits as they are.',
        },
      );
    }
    const target = path.resolve(options.output);
    await refuseSource(target, model);
    await copyIntoPlace(model.ggufPath, target);
    const { name, architecture, parameterCount, dtype } = model;
    return {
      status: 'success' as const,
      path: target,
      byteLength: model.byteLength,
      sha256: model.sha256,
      model: { name, architecture, parameterCount, dtype },
    };
  });
}
