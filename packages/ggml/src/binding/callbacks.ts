/** @file Functions that native code calls back: graph observers, log lines, and function pointers read from tables. */
import koffi, { type TypeObject } from 'koffi';
import type { AsyncCapable } from './async.js';
import type { Bytes } from './libraries.js';
import type { Address } from './structs.js';

const evalCallback = koffi.pointer(koffi.proto('bool', ['void *', 'bool', 'void *']));
const logCallback = koffi.pointer(koffi.proto('void', ['int', 'str', 'void *']));
const toFloat = koffi.proto('void', ['void *', 'void *', 'int64_t']);

/** A registered callback; its address is valid until `release`. */
export interface RegisteredCallback {
  readonly address: Address;
  release(): void;
}

function register(fn: (...args: never[]) => unknown, type: TypeObject): RegisteredCallback {
  const address = koffi.register(fn as (...args: unknown[]) => unknown, type);
  return { address, release: () => koffi.unregister(address) };
}

/** `ggml_backend_sched_eval_callback`: asked (`ask`) which nodes are wanted, then given each wanted node with its data. */
export function registerEvalCallback(fn: (tensor: Address, ask: boolean) => boolean): RegisteredCallback {
  return register(fn, evalCallback);
}

/** `ggml_log_callback`; `level` is `enum ggml_log_level`. */
export function registerLogCallback(fn: (level: number, text: string) => void): RegisteredCallback {
  return register(fn, logCallback);
}

/** `ggml_to_float_t`, from a type's table of functions. */
export function toFloatFunction(address: Address): AsyncCapable<[Bytes, Bytes, number], void> {
  return koffi.decode(address, toFloat) as AsyncCapable<[Bytes, Bytes, number], void>;
}
