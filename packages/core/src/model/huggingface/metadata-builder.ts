/**
 * @file Builds GGUF metadata key by key. A key that is set again keeps its place and takes the new value; an empty string or
 * list is not written. Both are what llama.cpp's own writer does, and they decide the order of keys in the file.
 */
import {
  BitsmithError,
  type GgufMetadata,
  type GgufString,
  type GgufValue,
  ggufBool,
  ggufFloat32,
  ggufFloat32Array,
  ggufInt32,
  ggufInt32Array,
  ggufString,
  ggufStringArray,
  ggufUint32,
} from '@bitsmith/formats';

export class MetadataBuilder {
  readonly architecture: string;
  private readonly values = new Map<string, GgufValue>();

  constructor(architecture: string) {
    this.architecture = architecture;
    this.string('general.architecture', architecture);
  }

  /** A key under the architecture's own prefix. */
  key(name: string): string {
    return `${this.architecture}.${name}`;
  }

  string(key: string, value: GgufString): void {
    if (value.length > 0) this.values.set(key, ggufString(value));
  }

  bool(key: string, value: boolean): void {
    this.values.set(key, ggufBool(value));
  }

  uint32(key: string, value: unknown): void {
    this.values.set(key, ggufUint32(integer(key, value, 0, 0xffff_ffff)));
  }

  int32(key: string, value: unknown): void {
    this.values.set(key, ggufInt32(integer(key, value, -0x8000_0000, 0x7fff_ffff)));
  }

  float32(key: string, value: unknown): void {
    if (typeof value !== 'number') throw valueError(key, value, 'a number');
    this.values.set(key, ggufFloat32(value));
  }

  /** One count for all blocks, or a list with one a block. */
  uint32OrList(key: string, value: unknown): void {
    if (Array.isArray(value)) this.int32Array(key, value);
    else this.uint32(key, value);
  }

  int32Array(key: string, value: readonly unknown[]): void {
    if (value.length === 0) return;
    const items = value.map((item) => integer(key, item, -0x8000_0000, 0x7fff_ffff));
    this.values.set(key, ggufInt32Array(items));
  }

  float32Array(key: string, value: Iterable<number>): void {
    const array = ggufFloat32Array(value);
    if (array.value.length > 0) this.values.set(key, array);
  }

  stringArray(key: string, value: readonly GgufString[]): void {
    if (value.length > 0) this.values.set(key, ggufStringArray(value));
  }

  build(): GgufMetadata {
    return new Map(this.values);
  }
}

function integer(key: string, value: unknown, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw valueError(key, value, `a whole number from ${least} to ${most}`);
  }
  return value;
}

function valueError(key: string, value: unknown, expected: string): BitsmithError {
  const found = JSON.stringify(value) ?? 'nothing';
  return new BitsmithError('validation', 'MODEL_CONFIG', `${key} is ${found}`, {
    expected,
    found,
    suggestion: "Correct the value in the model's config.json, generation_config.json or tokenizer files.",
  });
}
