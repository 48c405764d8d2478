import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { layoutGguf, MemorySink, MemorySource, readBytes, readGguf, writeGguf } from '../../src/index.js';
import { metadata, tensorSpecs } from '../support/arbitraries.js';

const alignments = fc.constantFrom(undefined, 1, 8, 32, 64, 4096);

describe('GGUF, written and read back', () => {
  it('is the same for any metadata, tensors and alignment', async () => {
    await fc.assert(
      fc.asyncProperty(metadata, tensorSpecs, alignments, async (metadata, tensors, alignment) => {
        const layout = layoutGguf({ metadata, tensors, ...(alignment === undefined ? {} : { alignment }) });
        const sink = new MemorySink();
        await writeGguf(sink, layout, async (tensor, index, target) => {
          const half = Math.floor(tensor.byteLength / 2);
          const bytes = new Uint8Array(tensor.byteLength).fill(index + 1);
          await target.write(bytes.subarray(0, half));
          await target.write(bytes.subarray(half));
        });
        const bytes = sink.toBytes();
        expect(bytes.byteLength).toBe(layout.byteLength);
        expect(bytes.byteLength % layout.alignment).toBe(0);

        const source = new MemorySource(bytes);
        const file = await readGguf(source);
        const stored = new Map(file.metadata);
        if (layout.alignment !== 32) stored.delete('general.alignment');
        expect([...stored]).toEqual([...metadata]);
        expect(file.tensors).toEqual(layout.tensors);
        expect(file.alignment).toBe(alignment ?? 32);
        for (const [index, tensor] of file.tensors.entries()) {
          expect(tensor.offset % file.alignment).toBe(file.dataOffset % file.alignment);
          const data = await readBytes(source, tensor.offset, tensor.byteLength);
          expect(data.every((byte) => byte === index + 1)).toBe(true);
        }
      }),
      { numRuns: 300, seed: 1 },
    );
  });

  it('drops trailing axes of length 1, as ggml does', () => {
    const shapes = [[4, 1, 1], [1], [1, 1], [4, 1, 3, 1], []].map((shape) =>
      layoutGguf({
        metadata: new Map(),
        tensors: [{ name: 'x', type: 'F32', shape }],
      }).tensors[0].shape.join(),
    );
    expect(shapes).toEqual(['4', '1', '1', '4,1,3', '1']);
  });
});
