// How values are written: short on axes, exact in tables.

const prefixes: [number, string][] = [
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
];

/** A number with few digits: `1.25M`. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size >= 1e15 || size < 1e-4) return value.toExponential(2);
  for (const [factor, prefix] of prefixes) {
    if (size >= factor) return trimmed(value / factor, 4) + prefix;
  }
  return trimmed(value, 4);
}

function trimmed(value: number, digits: number): string {
  return String(Number(value.toPrecision(digits)));
}

/** Labels of ticks, with as many digits as tell them apart. */
export function axisNumbers(ticks: readonly number[]): string[] {
  const size = Math.max(...ticks.map(Math.abs));
  const step = ticks.length > 1 ? Math.abs((ticks[1] ?? 0) - (ticks[0] ?? 0)) : size;
  if (size >= 1e15 || (size > 0 && size < 1e-4)) return ticks.map((tick) => tick.toExponential(1));
  const [factor, prefix] = prefixes.find(([factor]) => size >= factor) ?? [1, ''];
  const digits =
    step > 0 ? Math.max(0, Math.min(6, Math.ceil(-Math.log10(step / factor) - 1e-9))) : 0;
  return ticks.map((tick) => (tick === 0 ? '0' : `${(tick / factor).toFixed(digits)}${prefix}`));
}

/** What values count, where that is known. */
export type Unit = 'bytes';

/** Bytes in powers of 1024. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let rest = value;
  let unit = 0;
  while (Math.abs(rest) >= 1024 && unit < units.length - 1) {
    rest /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? rest : Number(rest.toPrecision(3))} ${units[unit]}`;
}

/** A whole number with spaces between thousands. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

/** Reads a sample's value, as the API writes it. */
export function sampleValue(text: string): number {
  if (text === '+Inf') return Number.POSITIVE_INFINITY;
  if (text === '-Inf') return Number.NEGATIVE_INFINITY;
  return Number(text);
}
