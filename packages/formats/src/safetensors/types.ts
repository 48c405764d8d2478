import type { SafetensorsDtype } from './dtypes.js';

export interface SafetensorsTensorSpec {
  readonly name: string;
  readonly dtype: SafetensorsDtype;
  /** Row-major, outermost axis first; empty for a single number. */
  readonly shape: readonly number[];
}

export interface SafetensorsTensorInfo extends SafetensorsTensorSpec {
  /** Absolute byte offset in the file. */
  readonly offset: number;
  readonly byteLength: number;
}

export interface SafetensorsFile {
  /** The free text pairs of `__metadata__`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of their data. */
  readonly tensors: readonly SafetensorsTensorInfo[];
  /** Where tensor data begins. */
  readonly dataOffset: number;
  readonly byteLength: number;
}

/** A file about to be written. */
export interface SafetensorsLayout {
  /** Length field and padded JSON. */
  readonly header: Uint8Array;
  /** In the order that their data must be written. */
  readonly tensors: readonly SafetensorsTensorInfo[];
  readonly byteLength: number;
}
