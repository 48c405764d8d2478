/** @file Memory and processor time of a process with everything it started, read from Linux's `/proc`. */
import { readdirSync, readFileSync } from 'node:fs';

const SAMPLE_MS = 50;

/** Sums of a process tree at one moment, in bytes. */
export interface TreeMemory {
  /** Anonymous memory: what the processes themselves allocated. */
  readonly anonymous: number;
  /** Mapped pages of files that are resident, the model's above all; the system takes them back when it needs room. */
  readonly mapped: number;
}

/** Samples a process tree every 50 ms and keeps the peak of each phase that it is told of. */
export class MemorySampler {
  readonly peaks = new Map<string, TreeMemory>();
  private phase: string;
  private readonly timer: NodeJS.Timeout;
  private readonly processId: number;

  constructor(processId: number, phase: string) {
    this.processId = processId;
    this.phase = phase;
    this.timer = setInterval(() => this.sample(), SAMPLE_MS);
  }

  enter(phase: string): void {
    this.sample();
    this.phase = phase;
    this.sample();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private sample(): void {
    const now = treeMemory(this.processId);
    const peak = this.peaks.get(this.phase) ?? { anonymous: 0, mapped: 0 };
    this.peaks.set(this.phase, {
      anonymous: Math.max(peak.anonymous, now.anonymous),
      mapped: Math.max(peak.mapped, now.mapped),
    });
  }
}

function treeMemory(root: number): TreeMemory {
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => readStatus(Number(name)));
  const inTree = new Set([root]);
  for (let grown = true; grown;) {
    const found = processes.filter(({ id, parent }) => inTree.has(parent) && !inTree.has(id));
    for (const { id } of found) inTree.add(id);
    grown = found.length > 0;
  }
  const members = processes.filter(({ id }) => inTree.has(id));
  return {
    anonymous: members.reduce((sum, { anonymous }) => sum + anonymous, 0),
    mapped: members.reduce((sum, { mapped }) => sum + mapped, 0),
  };
}

interface Status extends TreeMemory {
  readonly id: number;
  readonly parent: number;
}

/** None for a process that ended meanwhile, and for kernel threads. */
function readStatus(id: number): Status[] {
  let text: string;
  try {
    text = readFileSync(`/proc/${id}/status`, 'utf8');
  } catch {
    return [];
  }
  const kilobytes = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  const parent = kilobytes('PPid');
  return [
    {
      id,
      parent,
      anonymous: kilobytes('RssAnon') * 1024,
      mapped: (kilobytes('RssFile') + kilobytes('RssShmem')) * 1024,
    },
  ];
}
