/** @file How much memory the engine may keep encoded tensors in. */
import os from 'node:os';
import { memoryLimit } from '../engine/memory-need.js';

/** A machine with much memory has no use for more; one with little keeps seven eighths for the model. */
const MOST_CACHE_BYTES = 512 * 2 ** 20;
const CACHE_SHARE = 1 / 8;

/** What the engine may keep of encoded tensors, for measurements that meet the same tensors in the same schemes again, and for the file. */
export function roomForEncoded(): number {
  const free = Math.min(os.freemem(), memoryLimit());
  return Math.min(MOST_CACHE_BYTES, Math.floor(free * CACHE_SHARE));
}
