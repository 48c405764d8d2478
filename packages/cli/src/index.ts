/** @file The library's front door: `import { quantize } from 'bitsmith'`. */
export * from '@bitsmith/core';
