/** @file What long work says while it runs. The library never prints: terminal, JSON and web page are readers of these. */

export type Stage =
  | 'download'
  | 'convert'
  | 'calibrate'
  | 'measure'
  | 'refine'
  | 'plan'
  | 'encode'
  | 'verify';

export type RunEvent =
  | { readonly type: 'stage-start'; readonly stage: Stage; readonly label: string }
  | {
      readonly type: 'progress';
      readonly stage: Stage;
      readonly done: number;
      readonly total: number;
      readonly unit: 'bytes' | 'tokens' | 'tensors' | 'weights' | 'measurements';
      /** What is being worked on, for example a tensor's name. */
      readonly item?: string;
    }
  | {
      readonly type: 'stage-end';
      readonly stage: Stage;
      readonly seconds: number;
      /** True when every artifact of the stage was already there. */
      readonly cached: boolean;
      /** One line of result, for example "51,200 tokens, 57 tensors". */
      readonly summary: string;
    }
  | { readonly type: 'note'; readonly level: 'info' | 'warning' | 'verbose'; readonly message: string };

/** Long work: events as they happen, the result at the end. */
export type Work<Result> = AsyncGenerator<RunEvent, Result, void>;
