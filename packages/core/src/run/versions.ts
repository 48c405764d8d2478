/** @file Versions that a run record and a written file name. */
import { createRequire } from 'node:module';
import type { GpuBackend } from '@bitsmith/ggml/probe';
import { ENGINE_RELEASE } from '../engine/release.js';
import type { QuantizeResult } from '../jobs/record.js';

interface Manifest {
  readonly version: string;
}

/** The version of Bitsmith. */
export const bitsmithVersion: string = (
  createRequire(import.meta.url)('@bitsmith/core/package.json') as Manifest
).version;

/** @param gpu the backend that models ran on, if not the CPU */
export function describeVersions(gpu?: GpuBackend): QuantizeResult['versions'] {
  return {
    bitsmith: bitsmithVersion,
    node: process.versions.node,
    engine: gpu === undefined ? ENGINE_RELEASE : `${ENGINE_RELEASE} ${gpu}`,
    platform: `${process.platform}-${process.arch}`,
  };
}
