/**
 * @file A Hugging Face model folder as the converter sees it: a name, a list of files, and a way to read them. The
 * converter itself never touches a disk, so a folder can as well be a test's record or a remote listing.
 */
import { BitsmithError, type ByteSource } from '@bitsmith/formats';

export interface FolderReader {
  /** The folder's own name, without its path: the last resort for the model's name and size. */
  readonly name: string;
  /** Paths of all files, relative to the folder, with `/` between parts. */
  list(signal?: AbortSignal): Promise<readonly string[]>;
  open(path: string, signal?: AbortSignal): Promise<ByteSource>;
  /** The whole file, decoded as UTF-8. */
  readText(path: string, signal?: AbortSignal): Promise<string>;
}

export type JsonObject = { readonly [key: string]: unknown };

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A folder whose listing is known and whose JSON files are parsed once. */
export class ModelFolder {
  readonly name: string;
  readonly files: ReadonlySet<string>;
  private readonly reader: FolderReader;
  private readonly parsed = new Map<string, Promise<unknown>>();

  private constructor(reader: FolderReader, files: ReadonlySet<string>) {
    this.name = reader.name;
    this.reader = reader;
    this.files = files;
  }

  static async load(reader: FolderReader, signal?: AbortSignal): Promise<ModelFolder> {
    return new ModelFolder(reader, new Set(await reader.list(signal)));
  }

  has(path: string): boolean {
    return this.files.has(path);
  }

  open(path: string, signal?: AbortSignal): Promise<ByteSource> {
    return this.reader.open(path, signal);
  }

  /** Text with line ends as `\n`, however the file has them. */
  async text(path: string, signal?: AbortSignal): Promise<string> {
    return (await this.reader.readText(path, signal)).replaceAll(/\r\n?/g, '\n');
  }

  /**
   * The JSON object in a file, or `undefined` when the folder has no such file.
   * @throws BitsmithError `MODEL_JSON` when the file is not a JSON object.
   */
  async json(path: string, signal?: AbortSignal): Promise<JsonObject | undefined> {
    if (!this.has(path)) return undefined;
    const value = await this.jsonValue(path, signal);
    if (!isJsonObject(value)) throw jsonError(path, `found ${describe(value)}`);
    return value;
  }

  /** Any JSON value in a file that the folder has. */
  async jsonValue(path: string, signal?: AbortSignal): Promise<unknown> {
    let value = this.parsed.get(path);
    if (value === undefined) {
      value = this.parse(path, signal);
      this.parsed.set(path, value);
      // A failed or cancelled read must not stay as the file's answer.
      value.catch(() => this.parsed.delete(path));
    }
    return value;
  }

  private async parse(path: string, signal?: AbortSignal): Promise<unknown> {
    const text = await this.reader.readText(path, signal);
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw jsonError(path, cause instanceof Error ? cause.message : String(cause), cause);
    }
  }
}

function describe(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}

function jsonError(path: string, found: string, cause?: unknown): BitsmithError {
  return new BitsmithError('validation', 'MODEL_JSON', `${path} is not a JSON object: ${found}`, {
    expected: 'a JSON object',
    found,
    suggestion: `Restore ${path} from the model's original, or download the model again.`,
    cause,
  });
}
