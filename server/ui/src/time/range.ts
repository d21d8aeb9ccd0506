// Time ranges as the address bar has them: each end is `now`, `now-1h30m`, or a time.

export interface TimeRange {
  from: string;
  to: string;
}

/** A range in milliseconds since the epoch. */
export interface Interval {
  start: number;
  end: number;
}

export const defaultRange: TimeRange = { from: 'now-1h', to: 'now' };

export const quickRanges: readonly { label: string; from: string }[] = [
  { label: 'Last 5 minutes', from: 'now-5m' },
  { label: 'Last 15 minutes', from: 'now-15m' },
  { label: 'Last 30 minutes', from: 'now-30m' },
  { label: 'Last 1 hour', from: 'now-1h' },
  { label: 'Last 3 hours', from: 'now-3h' },
  { label: 'Last 6 hours', from: 'now-6h' },
  { label: 'Last 12 hours', from: 'now-12h' },
  { label: 'Last 24 hours', from: 'now-1d' },
  { label: 'Last 2 days', from: 'now-2d' },
  { label: 'Last 7 days', from: 'now-7d' },
];

const unitMs: Record<string, number> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
  y: 31_536_000_000,
};

/** Reads a duration such as `1h30m` or `15s`, as PromQL writes it. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim();
  if (!/^(\d+(ms|[smhdwy]))+$/.test(trimmed)) return undefined;
  let total = 0;
  for (const [, count, unit] of trimmed.matchAll(/(\d+)(ms|[smhdwy])/g)) {
    total += Number(count) * (unitMs[unit ?? ''] ?? 0);
  }
  return total > 0 && Number.isSafeInteger(total) ? total : undefined;
}

/** Writes a duration with as many units as it needs. */
export function formatDuration(ms: number): string {
  if (ms <= 0) return '0s';
  let rest = Math.round(ms);
  let text = '';
  for (const unit of ['d', 'h', 'm', 's', 'ms']) {
    const size = unitMs[unit] ?? 1;
    const count = Math.floor(rest / size);
    if (count > 0) text += `${count}${unit}`;
    rest -= count * size;
  }
  return text;
}

/** Reads one end of a range; `undefined` where it cannot be read. */
export function parseTime(text: string, now: number): number | undefined {
  const trimmed = text.trim();
  if (trimmed === 'now') return now;
  const relative = /^now\s*([+-])\s*(.+)$/.exec(trimmed);
  if (relative) {
    const ms = parseDuration(relative[2] ?? '');
    if (ms === undefined) return undefined;
    return relative[1] === '-' ? now - ms : now + ms;
  }
  if (/^\d{9,}(\.\d+)?$/.test(trimmed)) {
    const number = Number(trimmed);
    // Seconds until the year 5138, milliseconds from 1973 on.
    return number < 1e11 ? Math.round(number * 1000) : Math.round(number);
  }
  if (/^\d{4}-\d{2}-\d{2}/.test(trimmed)) {
    const ms = Date.parse(trimmed);
    return Number.isNaN(ms) ? undefined : ms;
  }
  return undefined;
}

/** Works a range out; ends that cannot be read or are the wrong way round give the default. */
export function resolve(range: TimeRange, now: number): Interval {
  const start = parseTime(range.from, now);
  const end = parseTime(range.to, now);
  if (start === undefined || end === undefined || start >= end) {
    return { start: now - 3_600_000, end: now };
  }
  return { start, end };
}

/** Says what is wrong with a range, if anything. */
export function rangeProblem(range: TimeRange, now: number): string | undefined {
  const start = parseTime(range.from, now);
  const end = parseTime(range.to, now);
  if (start === undefined) return `“${range.from}” is neither a time nor like now-1h.`;
  if (end === undefined) return `“${range.to}” is neither a time nor like now-1h.`;
  if (start >= end) return 'The range ends before it begins.';
  return undefined;
}

export function isRelative(range: TimeRange): boolean {
  return range.from.startsWith('now') || range.to.startsWith('now');
}

/** A range of times that stay, to the second. */
export function absolute(start: number, end: number): TimeRange {
  const from = Math.floor(start / 1000) * 1000;
  const to = Math.max(Math.ceil(end / 1000) * 1000, from + 1000);
  return { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
}

/** The range moved by a part of its length; ends at now stay readable. */
export function shifted(range: TimeRange, part: number, now: number): TimeRange {
  const { start, end } = resolve(range, now);
  const by = (end - start) * part;
  return absolute(start + by, end + by);
}

/** The range with its middle kept and its length multiplied. */
export function zoomed(range: TimeRange, factor: number, now: number): TimeRange {
  const { start, end } = resolve(range, now);
  const length = (end - start) * factor;
  if (range.to === 'now' && /^now-/.test(range.from)) {
    return {
      from: `now-${formatDuration(Math.max(1000, Math.round(length / 1000) * 1000))}`,
      to: 'now',
    };
  }
  const middle = (start + end) / 2;
  return absolute(middle - length / 2, Math.min(middle + length / 2, Math.max(now, end)));
}

const steps = [
  1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 43_200, 86_400,
];

/** A step in seconds that gives at most so many points over an interval. */
export function autoStep(interval: Interval, points: number): number {
  const wanted = (interval.end - interval.start) / 1000 / Math.max(points, 10);
  return steps.find((step) => step >= wanted) ?? Math.ceil(wanted / 86_400) * 86_400;
}

/** The step in seconds that was asked for, or a fitting one. */
export function stepSeconds(asked: string, interval: Interval, points: number): number {
  const ms =
    parseDuration(asked) ?? (/^\d+(\.\d+)?$/.test(asked) ? Number(asked) * 1000 : undefined);
  if (ms === undefined || ms < 1) return autoStep(interval, points);
  // The server refuses more points than this in one answer.
  const least = (interval.end - interval.start) / 11_000;
  return Math.max(ms, Math.ceil(least)) / 1000;
}
