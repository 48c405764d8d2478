/** Little-endian bytes put together by hand, for files that our own writers refuse to make. */
export class Bytes {
  private readonly parts: number[] = [];

  raw(...bytes: number[]): this {
    this.parts.push(...bytes);
    return this;
  }

  text(text: string): this {
    return this.raw(...new TextEncoder().encode(text));
  }

  u32(value: number): this {
    return this.raw(...[0, 8, 16, 24].map((shift) => Math.floor(value / 2 ** shift) % 256));
  }

  u64(value: number | bigint): this {
    for (let index = 0n; index < 8n; index++) this.raw(Number((BigInt(value) >> (8n * index)) & 0xffn));
    return this;
  }

  f32(value: number): this {
    return this.raw(...new Uint8Array(Float32Array.of(value).buffer));
  }

  /** A GGUF string: uint64 length and bytes. */
  string(text: string | Uint8Array): this {
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    return this.u64(bytes.length).raw(...bytes);
  }

  zeros(count: number): this {
    for (let index = 0; index < count; index++) this.parts.push(0);
    return this;
  }

  get length(): number {
    return this.parts.length;
  }

  toBytes(): Uint8Array {
    return Uint8Array.from(this.parts);
  }
}
