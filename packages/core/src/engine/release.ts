/** @file The engine's release, part of every key of what it computes: another release may compute other bytes. */
import { engineRelease } from '@bitsmith/ggml/probe';

export const ENGINE_RELEASE: string = engineRelease;
