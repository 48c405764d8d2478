/** @file The parent's side of `peer-child.ts`: llama.cpp's own code in a process of its own, as ours is. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { TensorType } from '@bitsmith/formats';
import { engineEnvironment, type QuantizeFileOptions } from '@bitsmith/ggml';
import type { PeerReply, PeerRequest } from './peer-child.js';

export class Peer {
  private readonly child: ChildProcess;

  constructor(threads: number) {
    const entry = path.join(path.dirname(fileURLToPath(import.meta.url)), 'peer-child.js');
    this.child = fork(entry, [String(threads)], {
      serialization: 'advanced',
      env: { ...process.env, ...engineEnvironment(threads) },
    });
  }

  get processId(): number | undefined {
    return this.child.pid;
  }

  /** Quantizes a file with llama.cpp's quantizer; returns the seconds it took. */
  quantize(options: Omit<QuantizeFileOptions, 'signal'>): Promise<number> {
    return this.ask({ kind: 'quantize', options });
  }

  /** Weights a second of one bare encoder with importance weights, `lanes` calls side by side. */
  encoderRate(type: TensorType, lanes: number): Promise<number> {
    return this.ask({ kind: 'encoder', type, lanes });
  }

  /** Seconds of a model over chunks of text, `lanes` chunks side by side. */
  forward(path: string, chunks: readonly Int32Array[], lanes: number): Promise<number> {
    return this.ask({ kind: 'forward', path, chunks, lanes });
  }

  /** Operations a second of products of float32 matrices, `lanes` side by side. */
  productRate(lanes: number): Promise<number> {
    return this.ask({ kind: 'products', lanes });
  }

  async close(): Promise<void> {
    const gone = once(this.child, 'exit');
    this.child.disconnect();
    await gone;
  }

  private async ask(request: PeerRequest): Promise<number> {
    const reply = new Promise<PeerReply>((resolve, reject) => {
      this.child.once('message', (message) => resolve(message as PeerReply));
      this.child.once('exit', (code) => reject(new Error(`the peer ended with exit code ${code}`)));
    });
    this.child.send(request);
    const { value, error } = await reply;
    this.child.removeAllListeners('exit');
    if (value === undefined) throw new Error(`llama.cpp failed: ${error}`);
    return value;
  }
}
