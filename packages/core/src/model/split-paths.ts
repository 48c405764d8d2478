/** @file The files of a GGUF that was split: `NAME-00001-of-0000N.gguf` and its siblings. */
import path from 'node:path';
import { BitsmithError, type GgufMetadata } from '@bitsmith/formats';

const SPLIT_NAME = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/;

/** All files of the model whose first is `ggufPath`, in order; just that one when it is whole. */
export function splitPaths(ggufPath: string, metadata: GgufMetadata): string[] {
  const declared = metadata.get('split.count');
  const count = declared !== undefined && typeof declared.value === 'number' ? declared.value : 0;
  if (count <= 1) return [ggufPath];
  const match = SPLIT_NAME.exec(path.basename(ggufPath));
  if (match === null || Number(match[3]) !== count || Number(match[2]) !== 1) {
    throw new BitsmithError(
      'validation',
      'GGUF_SPLIT_NAME',
      `the file says it is one of ${count} splits; expected the first, named NAME-00001-of-${String(count).padStart(5, '0')}.gguf, found ${path.basename(ggufPath)}`,
      { suggestion: 'Name the first split; the others must lie beside it.' },
    );
  }
  return Array.from({ length: count }, (_, index) => {
    const number = String(index + 1).padStart(5, '0');
    return path.join(path.dirname(ggufPath), `${match[1]}-${number}-of-${match[3]}.gguf`);
  });
}
