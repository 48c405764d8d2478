import type { SourceModel } from '@bitsmith/core';
import type { GgufMetadata, GgufValue } from '@bitsmith/formats';
import type { CliContext } from '../context.js';
import type { OutputFlags } from '../flags.js';
import { printResult, runWork } from '../session.js';

export interface InspectFlags extends OutputFlags {
  readonly tensors: boolean;
  readonly home?: string;
  readonly token?: string;
}

export async function inspect(this: CliContext, flags: InspectFlags, location: string): Promise<void> {
  const { ArtifactStore, openModel } = await import('@bitsmith/core');
  const { renderInspection } = await import('../render/inspect.js');
  const store = await ArtifactStore.open(flags.home);
  const model = await runWork(this, flags, (signal) =>
    openModel(location, { store, token: flags.token, signal }),
  );
  printResult(this, flags, {
    json: inspectionJson(model),
    draw: (terminal) => renderInspection(model, { everyTensor: flags.tensors }, terminal),
  });
}

/** Longer lists, such as a vocabulary, are told by their length. */
const longestList = 64;

function inspectionJson(model: SourceModel): object {
  return { ...model, metadata: metadataJson(model.metadata) };
}

function metadataJson(metadata: GgufMetadata): Record<string, unknown> {
  return Object.fromEntries([...metadata].map(([key, value]) => [key, valueJson(value)]));
}

function valueJson(value: GgufValue): unknown {
  if (value.type !== 'array') return plain(value.value);
  if (value.value.length > longestList)
    return { type: 'array', itemType: value.itemType, length: value.value.length };
  if (value.itemType === 'array') return value.value.map((item) => valueJson(item));
  return Array.from<unknown, unknown>(value.value as ArrayLike<unknown>, plain);
}

/** JSON has no 64-bit integers and no bytes: the first become text when they are too large, the second base64. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value;
}
