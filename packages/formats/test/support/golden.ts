import { readFileSync } from 'node:fs';
import { MemorySource } from '../../src/index.js';

/** The bytes of a file made by another program. */
export function goldenBytes(name: string): Uint8Array {
  return new Uint8Array(readFileSync(new URL(`../golden/${name}`, import.meta.url)));
}

export function goldenSource(name: string): MemorySource {
  return new MemorySource(goldenBytes(name));
}

export function goldenJson<T>(name: string): T {
  return JSON.parse(new TextDecoder().decode(goldenBytes(name))) as T;
}
