/** @file In the engine: sizes of channels over a text, and the scales that follow, block by block. */
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { shapeOf } from '../../transformer/shape-of.js';
import type { BlockWeights } from '../../transformer/block-weights.js';
import type { TransformerShape } from '../../transformer/shape.js';
import type { WeightArray } from '../../transformer/weights.js';
import { WeightFiles } from '../../model/weight-files.js';
import { chooseScales, type ChooseSettings, type EqualizeMode, type SiteScales } from './choose.js';
import { applyFactors, foldedFactors } from './fold.js';
import { InputPass, type InputReader } from '../../transformer/input-pass.js';
import { InputSummary } from './input-summary.js';
import { blockSites, type Site } from './sites.js';

export type EqualizeTask = TaskType<
  {
    readonly files: readonly string[];
    readonly positions: number;
    readonly sequences: readonly Int32Array[];
    readonly mode: EqualizeMode;
    /** The blocks whose scales are wanted. */
    readonly blocks: readonly number[];
  },
  { readonly block: number; readonly sites: readonly SiteScales[] },
  null
>;

/** Positions that outputs are compared on, about. */
const SAMPLE_POSITIONS = 512;

export const runEqualize: TaskHandler<EqualizeTask> = async (parameters, report, settings) => {
  const { positions, sequences, mode } = parameters;
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const model = await shapeOf(parameters.files[0], files);
    const lanes = settings.threads;
    const passSettings = { engine, files, model, positions, lanes, seed: 0, firstScored: 0 };
    const pass = await InputPass.open({ ...passSettings, scratchPath: null });
    const chooser = new SiteChooser({ engine, files, model, lanes, mode, sequences: sequences.length });
    try {
      const wanted = new Set(parameters.blocks);
      const reader: InputReader = {
        read: (tensor, sequence, values) => chooser.read(tensor, sequence, values, positions),
        done: async (block, weights) => {
          if (wanted.has(block)) report({ block, sites: await chooser.choose(block, weights) });
          chooser.forget();
        },
      };
      await pass.run(
        sequences.map((tokens, index) => ({ index, tokens })),
        reader,
      );
      return null;
    } finally {
      pass.dispose();
    }
  } finally {
    await files.close();
  }
};

interface ChooserSettings extends ChooseSettings {
  readonly files: WeightFiles;
  readonly model: TransformerShape;
  readonly sequences: number;
}

class SiteChooser {
  private readonly settings: ChooserSettings;
  private readonly inputs = new Map<string, InputSummary>();

  constructor(settings: ChooserSettings) {
    this.settings = settings;
  }

  read(tensor: string, sequence: number, values: Float32Array, positions: number): void {
    const { sequences } = this.settings;
    let summary = this.inputs.get(tensor);
    if (summary === undefined) {
      const kept = Math.min(positions, Math.ceil(SAMPLE_POSITIONS / sequences));
      summary = new InputSummary(values.length / positions, sequences, kept);
      this.inputs.set(tensor, summary);
    }
    summary.add(sequence, values);
  }

  async choose(block: number, { matrices }: BlockWeights): Promise<SiteScales[]> {
    const { files, model } = this.settings;
    const chosen: SiteScales[] = [];
    for (const site of blockSites(files, model, block)) {
      const readers = site.readers.map((name) => matrices.get(partOf(name)) as WeightArray);
      const input = site.readers.map((name) => this.inputs.get(name)).find((known) => known !== undefined);
      const scales = await chooseScales(this.settings, site, input as InputSummary, readers);
      chosen.push(scales);
      // Sites to come read rows that this one changes.
      this.fold(site, Float32Array.from(scales.scales), matrices);
    }
    return chosen;
  }

  /** What the inputs of a block were. */
  forget(): void {
    this.inputs.clear();
  }

  private fold(site: Site, scales: Float32Array, matrices: BlockWeights['matrices']): void {
    const rowsOf = (name: string): number => this.settings.files.tensor(name).rows;
    for (const [name, factors] of foldedFactors([site], [scales], rowsOf)) {
      const matrix = matrices.get(partOf(name));
      if (matrix !== undefined) applyFactors(matrix.values, matrix.shape[0], factors);
    }
  }
}

/** `blk.3.attn_q.weight` -> `attn_q`; of a bias nothing that names a matrix. */
function partOf(tensor: string): string {
  const [, , part, kind] = tensor.split('.');
  return kind === 'weight' ? part : tensor;
}
