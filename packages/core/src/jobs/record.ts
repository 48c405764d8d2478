/** @file One job's record: everything needed to know, repeat or doubt a result. Written to `.bitsmith/runs/ID.json`. */
import type { Coherence } from '../evaluate/coherence.js';
import type { Evaluation } from '../evaluate/types.js';
import type { Lift } from '../plan/lift.js';
import type { QualityAttempt, QualityFit, QualityVerdict } from '../plan/quality.js';
import type { Plan } from '../plan/types.js';
import type { Protection } from '../refine/protect.js';
import type { SearchRecord } from '../refine/search-record.js';
import type { EqualizationReport } from '../transform/equalize/report.js';
import type { Stage } from '../run/events.js';

export interface TextUse {
  readonly name: string;
  readonly sha256: string;
  readonly tokens: number;
}

/** What `quantize` returns and records. */
export interface QuantizeResult {
  readonly status: 'success';
  readonly runId: string;
  readonly recordPath: string;
  readonly source: {
    readonly location: string;
    readonly name: string;
    readonly architecture: string;
    readonly dtype: string;
    readonly parameterCount: number;
    readonly byteLength: number;
    readonly sha256: string;
  };
  readonly output: {
    readonly path: string;
    readonly byteLength: number;
    readonly sha256: string;
    readonly bitsPerWeight: number;
  };
  /** Source bytes / written bytes; the source's dtype is the baseline. */
  readonly compressionRatio: number;
  readonly plan: Plan;
  readonly texts: {
    readonly calibration: TextUse;
    /** What prices were measured on; null for a plan that was given. */
    readonly search: TextUse | null;
    readonly report: TextUse | null;
  };
  /** Null when verification was switched off. */
  readonly evaluation: Evaluation | null;
  /** Of all tensors: how much the written weights point where the source's do, the least of them. */
  readonly leastCosine: { readonly value: number; readonly tensor: string };
  /** Of all tensors: how far the written weights are from the source's, root of sum (w - w')^2 / sum w^2, the largest of them. */
  readonly largestError: { readonly value: number; readonly tensor: string };
  /** Tensors that got more bits because their written error missed its limit, in order. */
  readonly lifts: readonly Lift[];
  /** What the file's own text looks like; null where it was not looked at. */
  readonly coherence: Coherence | null;
  /** Null where no quality was asked for. */
  readonly quality: {
    /** What became of each limit on the file that was written. */
    readonly verdicts: readonly QualityVerdict[];
    /** How the last plan was found on the search text; null where no loss is limited. */
    readonly search: QualityFit | null;
    /** Every file that was measured on the report text, the returned one among them. */
    readonly files: readonly QualityAttempt[];
  } | null;
  /** How the plan was refined on true loss; null where it was not. */
  readonly search: SearchRecord | null;
  /** What protecting super weights came to; null where it was not asked for. */
  readonly protection: Protection | null;
  /** What made channels alike before anything was measured; null where they were left as they are. */
  readonly equalization: EqualizationReport | null;
  readonly seconds: Readonly<Partial<Record<Stage | 'total', number>>>;
  /** Largest resident memory of the command and its engine together, in bytes. */
  readonly peakMemoryBytes: number;
  readonly seed: number;
  readonly threads: number;
  readonly versions: {
    readonly bitsmith: string;
    readonly node: string;
    /** Release of the engine's package, and the backend when a GPU ran the models: `3.21.1`, `3.21.1 cuda`. */
    readonly engine: string;
    readonly platform: string;
  };
}
