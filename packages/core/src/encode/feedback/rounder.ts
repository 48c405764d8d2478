/**
 * @file In the engine: what codes are chosen by beyond the importance of columns. Matrices are factored when a tensor first needs them,
 * and kept while there is room: tensors that read the same input share theirs.
 */
import type { Engine } from '@bitsmith/ggml';
import { collectGarbage } from '../../run/collect-garbage.js';
import { factorGram, type GramFactor } from './gram-factor.js';
import { readGram } from '../../gram/gram-files.js';
import type { Rounding, RoundingParameters } from '../../gram/rounding.js';
import { type SpanTriangle, triangleFloats } from '../../gram/span-triangle.js';

export interface TensorStatistics {
  readonly factor: GramFactor;
  /** Gram matrix of text that the factor was not made of. */
  readonly check: SpanTriangle;
  readonly rounding: Rounding;
}

/** What may be kept for tensors that come again. */
export const KEPT_FACTORS_BYTES = 384 * 2 ** 20;

/** Statistics of a tensor that are worth collecting before the next one's are made. */
const COLLECTED_BYTES = 16 * 2 ** 20;

export class Rounder {
  private readonly engine: Engine;
  private readonly parameters: RoundingParameters | null;
  /** By place, least recently used first. */
  private readonly kept = new Map<string, Promise<TensorStatistics>>();

  private readonly keptBytes: number;
  /** Of what was made last; of other tasks' at first. */
  private lastBytes = Infinity;

  /**
   * @param parameters null: the nearest codes
   * @param keptBytes what may be kept beside the last tensor's
   */
  constructor(engine: Engine, parameters: RoundingParameters | null, keptBytes = 0) {
    this.keptBytes = keptBytes;
    this.engine = engine;
    this.parameters = parameters;
  }

  /** Null for a tensor whose inputs are not known: its codes are the nearest. @throws BitsmithError as `factorGram` */
  async statisticsOf(tensor: string): Promise<TensorStatistics | null> {
    const places = this.parameters?.grams[tensor];
    if (this.parameters === null || places === undefined) return null;
    const key = `${places.fit.path} ${places.fit.name}`;
    const known = this.kept.get(key);
    // Lanes that still need the last tensor's hold them.
    if (known === undefined && this.keptBytes === 0) this.kept.clear();
    const found = known ?? this.make(tensor, places);
    this.kept.delete(key);
    this.kept.set(key, found);
    const statistics = await found;
    await this.makeRoom();
    return statistics;
  }

  private async make(
    tensor: string,
    { fit, check }: RoundingParameters['grams'][string],
  ): Promise<TensorStatistics> {
    const { rounding } = this.parameters as RoundingParameters;
    if (this.lastBytes > COLLECTED_BYTES) collectGarbage();
    const factor = await factorGram(this.engine, await readGram(fit), tensor);
    const made = { factor, check: await readGram(check), rounding };
    this.lastBytes = bytesOf(made);
    return made;
  }

  private async makeRoom(): Promise<void> {
    const sizes = await Promise.all([...this.kept.values()].map(async (made) => bytesOf(await made)));
    let bytes = sizes.reduce((sum, size) => sum + size, 0);
    for (const [index, key] of [...this.kept.keys()].slice(0, -1).entries()) {
      if (bytes <= this.keptBytes) return;
      this.kept.delete(key);
      bytes -= sizes[index];
    }
  }
}

function bytesOf({ factor }: TensorStatistics): number {
  return factor.spans.reduce(
    // Types with grids have feedback of their own.
    (sum, { metric }) => sum + metric.matrix.byteLength + 2 * metric.feedback.byteLength,
    // Factor and check.
    2 * 4 * triangleFloats(factor.width),
  );
}
