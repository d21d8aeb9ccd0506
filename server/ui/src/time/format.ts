// How times are written, in UTC or in the reader's own zone.

export type Zone = 'utc' | 'local';

const pad = (n: number, width = 2) => String(n).padStart(width, '0');

interface Parts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
  ms: number;
}

function parts(ms: number, zone: Zone): Parts {
  const date = new Date(ms);
  if (zone === 'utc') {
    return {
      year: date.getUTCFullYear(),
      month: date.getUTCMonth() + 1,
      day: date.getUTCDate(),
      hour: date.getUTCHours(),
      minute: date.getUTCMinutes(),
      second: date.getUTCSeconds(),
      ms: date.getUTCMilliseconds(),
    };
  }
  return {
    year: date.getFullYear(),
    month: date.getMonth() + 1,
    day: date.getDate(),
    hour: date.getHours(),
    minute: date.getMinutes(),
    second: date.getSeconds(),
    ms: date.getMilliseconds(),
  };
}

export function formatDate(ms: number, zone: Zone): string {
  const p = parts(ms, zone);
  return `${p.year}-${pad(p.month)}-${pad(p.day)}`;
}

/** `14:03:05`, with milliseconds where asked for. */
export function formatClock(ms: number, zone: Zone, precise = false): string {
  const p = parts(ms, zone);
  const clock = `${pad(p.hour)}:${pad(p.minute)}:${pad(p.second)}`;
  return precise ? `${clock}.${pad(p.ms, 3)}` : clock;
}

/** `2026-11-26 14:03:05` */
export function formatTime(ms: number, zone: Zone, precise = false): string {
  return `${formatDate(ms, zone)} ${formatClock(ms, zone, precise)}`;
}

/** Reads what `formatTime` writes, seconds left out or not. */
export function readTime(text: string, zone: Zone): number | undefined {
  const found = /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2}):(\d{2})(?::(\d{2}))?)?$/.exec(text.trim());
  if (!found) return undefined;
  const [year, month, day, hour, minute, second] = found.slice(1).map((n) => Number(n ?? 0));
  const args = [year, (month ?? 1) - 1, day, hour, minute, second] as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const ms = zone === 'utc' ? Date.UTC(...args) : new Date(...args).getTime();
  return Number.isNaN(ms) ? undefined : ms;
}

/** How long ago, in one or two units: `3m 20s ago`. */
export function ago(ms: number, now: number): string {
  const seconds = Math.round((now - ms) / 1000);
  if (seconds < 0) return 'in the future';
  if (seconds < 2) return 'just now';
  return `${span(seconds * 1000)} ago`;
}

/** A length of time in one or two units. */
export function span(ms: number): string {
  if (ms < 1) return `${(ms * 1000).toFixed(0)} µs`;
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : ms.toFixed(0)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds < 10 ? Number(seconds.toFixed(2)) : Math.round(seconds)} s`;
  const units: [string, number][] = [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ];
  let rest = Math.round(seconds);
  const found: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) found.push(`${count}${unit}`);
    if (found.length === 2) break;
  }
  return found.join(' ');
}
