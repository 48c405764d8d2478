/** @file Reading and writing native memory by address, one field at a time. No check is made here: callers know the layout. */
import koffi from 'koffi';
import type { Address, NullableAddress } from './structs.js';

/** The address of a typed array's bytes. It stays valid while the array is referenced: keep that reference. */
export function addressOf(array: ArrayBufferView): Address {
  return BigInt(koffi.address(array));
}

/** Native bytes as an ArrayBuffer, without a copy; valid only while native code keeps them. */
export function viewMemory(address: Address, byteLength: number): ArrayBuffer {
  return koffi.view(address, byteLength);
}

export function readInt32(address: Address): number {
  return koffi.decode.int32(address);
}

/** An int64 or size_t as a number; the engine's are sizes and counts below 2^53. */
export function readInt64(address: Address): number {
  return Number(koffi.decode.int64(address));
}

export function readPointer(address: Address): NullableAddress {
  const value = BigInt(koffi.decode.uint64(address));
  return value === 0n ? null : value;
}

/** A NUL-terminated string inside a fixed array of `capacity` bytes. */
export function readFixedString(address: Address, capacity: number): string {
  const bytes = new Uint8Array(koffi.view(address, capacity));
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}

export function writeInt32(address: Address, value: number): void {
  koffi.encode(address, 'int32_t', value);
}

export function writeInt64(address: Address, value: number | bigint): void {
  koffi.encode(address, 'int64_t', value);
}

export function writePointer(address: Address, value: NullableAddress): void {
  koffi.encode(address, 'uint64_t', value ?? 0n);
}
