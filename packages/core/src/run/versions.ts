/** @file Versions that a run record and a written file name. */
import { createRequire } from 'node:module';
import { ENGINE_RELEASE } from '../engine/release.js';
import type { QuantizeResult } from './record.js';

interface Manifest {
  readonly version: string;
}

/** The version of Bitsmith. */
export const bitsmithVersion: string = (
  createRequire(import.meta.url)('@bitsmith/core/package.json') as Manifest
).version;

export function describeVersions(): QuantizeResult['versions'] {
  return {
    bitsmith: bitsmithVersion,
    node: process.versions.node,
    engine: ENGINE_RELEASE,
    platform: `${process.platform}-${process.arch}`,
  };
}
