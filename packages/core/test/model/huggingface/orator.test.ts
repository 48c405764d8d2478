import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import type { ByteSink } from '@bitsmith/formats';
import { expect, test } from 'vitest';
import {
  convertHuggingFace,
  openLocalFolder,
  writeConvertedModel,
} from '../../../src/model/huggingface/index.js';

const orator = fileURLToPath(new URL('../../../../../models/orator-8m', import.meta.url));

/** The file that llama.cpp v0.4.0's converter makes of the bundled model, with its pre-tokenizer named `gpt-2`. */
const golden = {
  byteLength: 16_928_224,
  sha256: '6b4a9c7ea2fdda1c688fc669192fefad8e26f65b01cc0cbbeccc772675b26299',
};

class HashSink implements ByteSink {
  bytesWritten = 0;
  private readonly hash = createHash('sha256');

  async write(bytes: Uint8Array): Promise<void> {
    this.bytesWritten += bytes.byteLength;
    this.hash.update(bytes);
  }

  digest(): string {
    return this.hash.digest('hex');
  }
}

test('the bundled model becomes the very file that llama.cpp makes of it', async () => {
  const folder = await openLocalFolder(orator);
  const sink = new HashSink();
  await writeConvertedModel(await convertHuggingFace(folder), sink);
  await folder.close();
  expect({ byteLength: sink.bytesWritten, sha256: sink.digest() }).toEqual(golden);
});
