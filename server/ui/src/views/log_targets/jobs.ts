// Jobs that follow logs: how far behind they are, which a search finds, where their lines are.

import type { Labels } from '../../api/prometheus';
import { seriesName } from '../../kit/labels';

export interface LogTarget {
  /** A pattern of paths. */
  path: string;
  labels: Labels;
}

export interface DroppedLogTarget {
  discoveredLabels: Labels;
  reason: string;
}

export interface LogFile {
  path: string;
  sizeBytes: number;
  /** Up to here the store has it. */
  positionBytes: number;
  readBytes: number;
  lines: number;
  lastError: string;
}

export interface LogJob {
  job: string;
  kind: 'file' | 'journal' | 'syslog' | 'push';
  /** Where messages are received. */
  address?: string;
  targets: LogTarget[];
  droppedTargets: DroppedLogTarget[];
  files: LogFile[];
}

/** Bytes of a file that are not stored yet. */
export function lag({ sizeBytes, positionBytes }: LogFile): number {
  return Math.max(0, sizeBytes - positionBytes);
}

/** What a search leaves of jobs; a job whose own name has a word keeps all that has the others. */
export function foundIn(jobs: readonly LogJob[], search: string, failing: boolean): LogJob[] {
  const words = search
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== '');
  if (words.length === 0 && !failing) return [...jobs];
  return jobs.flatMap((job) => {
    const has = (...texts: string[]) => {
      const text = [job.job, job.kind, job.address ?? '', ...texts].join(' ').toLowerCase();
      return words.every((word) => text.includes(word));
    };
    const targets = failing ? [] : job.targets.filter((one) => has(one.path, ...pairs(one.labels)));
    const droppedTargets = failing
      ? []
      : job.droppedTargets.filter((one) => has(one.reason, ...pairs(one.discoveredLabels)));
    const files = job.files.filter(
      (one) => has(one.path, one.lastError) && (!failing || one.lastError !== ''),
    );
    const any = targets.length + droppedTargets.length + files.length > 0 || (!failing && has());
    return any ? [{ ...job, targets, droppedTargets, files }] : [];
  });
}

const pairs = (labels: Labels) =>
  Object.entries(labels).map(([name, value]) => `${name}="${value}"`);

/** The selector of a target's lines; absent where it has no label that a stream keeps. */
export function targetSelector({ labels }: LogTarget): string | undefined {
  const kept = Object.entries(labels).filter(
    ([name, value]) => !name.startsWith('__') && value !== '',
  );
  return kept.length === 0 ? undefined : seriesName(Object.fromEntries(kept));
}

/** The selector of a file's lines: each of them has its path. */
export function fileSelector({ path }: LogFile): string {
  return seriesName({ filename: path });
}
