/** @file Two GGUF files with the same tensors: same names, same types, same bytes. */
import { readGguf, type GgufTensorInfo } from '@bitsmith/formats';
import { FileInput } from './file.js';

/** @throws Error naming the first tensor that differs. */
export async function refuseOtherTensors(first: string, second: string): Promise<void> {
  const inputs = [await FileInput.open(first), await FileInput.open(second)] as const;
  try {
    const files = [await readGguf(inputs[0]), await readGguf(inputs[1])] as const;
    const others = new Map(files[1].tensors.map((tensor) => [tensor.name, tensor]));
    if (files[0].tensors.length !== others.size)
      throw new Error('the files hold different numbers of tensors');
    for (const tensor of files[0].tensors) {
      const other = others.get(tensor.name);
      if (other === undefined || !(await equal(inputs, tensor, other))) {
        throw new Error(
          `${tensor.name} (${tensor.type}, ${other?.type}) differs between ${first} and ${second}`,
        );
      }
    }
  } finally {
    await Promise.all(inputs.map((input) => input.close()));
  }
}

const PIECE_BYTES = 1 << 22;

async function equal(
  [first, second]: readonly [FileInput, FileInput],
  one: GgufTensorInfo,
  other: GgufTensorInfo,
): Promise<boolean> {
  if (one.type !== other.type || one.byteLength !== other.byteLength) return false;
  for (let done = 0; done < one.byteLength; done += PIECE_BYTES) {
    const bytes = Math.min(PIECE_BYTES, one.byteLength - done);
    const pieces = [new Uint8Array(bytes), new Uint8Array(bytes)];
    await first.readInto(pieces[0], one.offset + done);
    await second.readInto(pieces[1], other.offset + done);
    if (Buffer.compare(pieces[0], pieces[1]) !== 0) return false;
  }
  return true;
}
