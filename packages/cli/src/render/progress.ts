/**
 * @file Run events on a terminal: one live line for each running stage, one line kept for each finished one. Where stderr is
 * no terminal only the finished lines appear, so that logs stay short.
 */
import type { RunEvent, Stage } from '@bitsmith/core';
import { RateMeter } from './rate.js';
import { displayWidth, padEnd, padStart, Paint, type Terminal, truncate, truncateStart } from './terminal.js';
import { bytes, count, duration, integer } from './units.js';

export interface ProgressOutput {
  write(text: string): unknown;
}

export interface ProgressOptions {
  /** Asked anew for each line: windows change their size. */
  readonly terminal: () => Terminal;
  /** Live lines: only where the output is a terminal. */
  readonly live: boolean;
  readonly verbosity: 'quiet' | 'normal' | 'verbose';
  /** Milliseconds, for tests. */
  readonly now?: () => number;
}

type Progress = Extract<RunEvent, { type: 'progress' }>;

interface RunningStage {
  readonly label: string;
  readonly started: number;
  readonly meter: RateMeter;
  progress: Progress | null;
}

const redrawIntervalMs = 80;
const widestBar = 24;
const narrowestBar = 8;
/** A name cut shorter than this says nothing. */
const shortestItem = 8;
const stageNames: Readonly<Record<Stage, string>> = {
  download: 'Download',
  convert: 'Convert',
  calibrate: 'Calibrate',
  measure: 'Measure',
  refine: 'Refine',
  plan: 'Plan',
  encode: 'Encode',
  verify: 'Verify',
};
const nameWidth = 9;
const hideCursor = '\u001B[?25l';
const showCursor = '\u001B[?25h';
const spinner = { unicode: [...'⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏'], ascii: [...'-\\|/'] };

export class ProgressRenderer {
  private readonly output: ProgressOutput;
  private readonly options: ProgressOptions;
  private readonly paint: Paint;
  private readonly now: () => number;
  private readonly running = new Map<Stage, RunningStage>();
  private drawnLines = 0;
  private lastDraw = Number.NEGATIVE_INFINITY;
  private timer: NodeJS.Timeout | undefined;
  private frame = 0;
  private printed = false;
  private readonly restoreCursor = (): void => void this.output.write(showCursor);

  constructor(output: ProgressOutput, options: ProgressOptions) {
    this.output = output;
    this.options = options;
    this.paint = new Paint(options.terminal());
    this.now = options.now ?? (() => performance.now());
  }

  handle(event: RunEvent): void {
    if (this.options.verbosity === 'quiet') return;
    switch (event.type) {
      case 'stage-start':
        this.running.set(event.stage, this.newStage(event.label));
        this.redraw(true);
        return;
      case 'progress':
        this.onProgress(event);
        return;
      case 'stage-end':
        this.running.delete(event.stage);
        this.print(this.finishedLine(event));
        return;
      case 'note':
        this.onNote(event);
        return;
      default:
        event satisfies never;
    }
  }

  /** A line of its own, above the live ones. */
  print(line: string): void {
    this.printed = true;
    this.output.write(`${this.eraseLive()}${line}\n${this.drawLive()}`);
  }

  /** Removes the live lines, sets the kept ones apart from what follows, and gives the cursor back. */
  close(): void {
    this.running.clear();
    const gap = this.printed && this.options.live ? '\n' : '';
    const rest = this.eraseLive() + gap;
    if (rest !== '') this.output.write(rest);
    this.printed = false;
    if (this.timer === undefined) return;
    clearInterval(this.timer);
    this.timer = undefined;
    process.removeListener('exit', this.restoreCursor);
    this.restoreCursor();
  }

  private newStage(label: string): RunningStage {
    return { label, started: this.now(), meter: new RateMeter(), progress: null };
  }

  private onProgress(event: Progress): void {
    let stage = this.running.get(event.stage);
    if (stage === undefined) {
      stage = this.newStage(stageNames[event.stage]);
      this.running.set(event.stage, stage);
    }
    if (stage.progress !== null && stage.progress.unit !== event.unit) stage.meter.reset();
    stage.meter.add(this.now(), event.done);
    stage.progress = event;
    this.redraw(false);
  }

  private onNote(event: Extract<RunEvent, { type: 'note' }>): void {
    const { live, verbosity } = this.options;
    if (event.level === 'verbose' && verbosity !== 'verbose') return;
    if (event.level === 'info' && !live && verbosity !== 'verbose') return;
    if (event.level === 'warning') this.print(this.paint.warning(`! ${event.message}`));
    else this.print(this.paint.dim(`  ${event.message}`));
  }

  private finishedLine(event: Extract<RunEvent, { type: 'stage-end' }>): string {
    const { unicode, width } = this.options.terminal();
    const mark = unicode ? '✓' : '+';
    const name = padEnd(stageNames[event.stage], nameWidth);
    const time = padStart(event.cached ? 'kept' : duration(event.seconds), 11);
    const head = `${mark} ${name} ${time}  `;
    const room = this.options.live ? width - displayWidth(head) : Number.POSITIVE_INFINITY;
    const summary = truncate(event.summary, room, unicode ? '…' : '...');
    return `${this.paint.good(mark)} ${name} ${this.paint.dim(time)}  ${summary}`;
  }

  /** Draws and erases in one write, so that no terminal shows the moment between. */
  private redraw(now: boolean): void {
    if (!this.options.live || (!now && this.now() - this.lastDraw < redrawIntervalMs)) return;
    this.output.write(this.eraseLive() + this.drawLive());
  }

  private eraseLive(): string {
    if (this.drawnLines === 0) return '';
    const up = this.drawnLines > 1 ? `\u001B[${this.drawnLines - 1}A` : '';
    this.drawnLines = 0;
    return `\r${up}\u001B[J`;
  }

  private drawLive(): string {
    if (!this.options.live || this.running.size === 0) return '';
    this.lastDraw = this.now();
    this.startTimer();
    this.drawnLines = this.running.size;
    return [...this.running].map(([name, stage]) => this.liveLine(name, stage)).join('\n');
  }

  /** Keeps spinner and clock moving while a stage says nothing; never keeps the process alive. */
  private startTimer(): void {
    if (this.timer !== undefined) return;
    this.output.write(hideCursor);
    process.once('exit', this.restoreCursor);
    this.timer = setInterval(() => {
      this.frame++;
      this.redraw(true);
    }, redrawIntervalMs);
    this.timer.unref();
  }

  private liveLine(name: Stage, stage: RunningStage): string {
    const { unicode, width } = this.options.terminal();
    const frames = unicode ? spinner.unicode : spinner.ascii;
    const head = `${this.paint.accent(frames[this.frame % frames.length])} ${padEnd(stageNames[name], nameWidth)} `;
    const mark = unicode ? '…' : '...';
    // The last column stays free: a full line would wrap on some terminals.
    const room = width - 1 - displayWidth(head);
    if (stage.progress === null || stage.progress.total <= 0) {
      return head + truncate(`${stage.label}  ${duration((this.now() - stage.started) / 1000)}`, room, mark);
    }
    return head + this.progressText(stage, stage.progress, room);
  }

  private progressText(stage: RunningStage, progress: Progress, room: number): string {
    const fraction = Math.min(1, progress.done / progress.total);
    const { unicode } = this.options.terminal();
    const rate = stage.meter.rate();
    const remaining = stage.meter.secondsUntil(progress.total, this.now());
    const left = fraction === 1 ? 'finishing' : rate > 0 ? `${duration(remaining)} left` : '';
    const share = padStart(`${Math.floor(fraction * 100)} %`, 5);
    const facts = fitting(
      [amount(progress, rate === 0), rate > 0 ? rateText(rate, progress.unit) : '', left],
      [2, 1, 0],
      room - narrowestBar - 1 - displayWidth(share),
    );
    const factsText = facts.map((fact) => `  ${fact}`).join('');
    const free = room - displayWidth(share) - displayWidth(factsText) - 1;
    const bar = Math.min(widestBar, free);
    const text = (bar >= narrowestBar ? `${this.bar(fraction, bar)} ` : '') + share + factsText;
    const item = truncateStart(progress.item ?? '', free - bar - 2, unicode ? '…' : '...');
    return displayWidth(item) >= shortestItem ? `${text}  ${this.paint.dim(item)}` : text;
  }

  private bar(fraction: number, width: number): string {
    const filled = Math.round(fraction * width);
    const { unicode } = this.options.terminal();
    const rest = (unicode ? '─' : '.').repeat(width - filled);
    return this.paint.accent((unicode ? '━' : '#').repeat(filled)) + this.paint.dim(rest);
  }
}

/** The facts that fit, in their order; where not all do, `priority` decides. */
function fitting(facts: readonly string[], priority: readonly number[], room: number): string[] {
  const kept = new Set<number>();
  let used = 0;
  for (const index of priority) {
    const width = displayWidth(facts[index]) + 2;
    if (facts[index] === '' || used + width > room) continue;
    kept.add(index);
    used += width;
  }
  return facts.filter((_, index) => kept.has(index));
}

/** The unit is left to the rate where there is one. */
function amount({ done, total, unit }: Progress, withUnit: boolean): string {
  switch (unit) {
    case 'bytes':
      return `${bytes(done)} of ${bytes(total)}`;
    case 'weights':
      return `${count(done)} of ${count(total)}${withUnit ? ' weights' : ''}`;
    case 'tokens':
    case 'tensors':
    case 'measurements':
      return `${integer(done)} of ${integer(total)}${withUnit ? ` ${unit}` : ''}`;
    default:
      return unit satisfies never;
  }
}

function rateText(perSecond: number, unit: Progress['unit']): string {
  if (unit === 'bytes') return `${bytes(perSecond)}/s`;
  if (unit === 'weights') return `${count(perSecond)} weights/s`;
  if (perSecond < 1) return `${duration(1 / perSecond)} a ${unit.slice(0, -1)}`;
  return perSecond >= 10 ? `${integer(perSecond)} ${unit}/s` : `${perSecond.toFixed(1)} ${unit}/s`;
}
