// Native histograms as cells of a heat map.

import type { Histogram } from '../api/prometheus';
import { sampleValue } from './values';

export interface Cell {
  /** Seconds. */
  time: number;
  low: number;
  high: number;
  count: number;
  /** Where it is drawn: what has no place on the scale is drawn at its end. */
  bottom: number;
  top: number;
}

export interface Heat {
  cells: Cell[];
  /** Lowest and highest bound. */
  low: number;
  high: number;
  most: number;
  /** Whether the bounds have logarithms: all above zero but those of the bucket around it. */
  log: boolean;
}

/** Returns the cells of histograms over time; `undefined` where there is none. */
export function heat(histograms: readonly [number, Histogram][]): Heat | undefined {
  const found: Omit<Cell, 'bottom' | 'top'>[] = [];
  for (const [time, histogram] of histograms) {
    for (const [, low, high, count] of histogram.buckets ?? []) {
      const n = sampleValue(count);
      if (n > 0) found.push({ time, low: sampleValue(low), high: sampleValue(high), count: n });
    }
  }
  const proper = found.filter((cell) => cell.low > 0 && Number.isFinite(cell.high));
  const log = proper.length > 0 && found.every((cell) => cell.high > 0);
  const bounds = (log ? proper : found)
    .flatMap((cell) => [cell.low, cell.high])
    .filter((bound) => Number.isFinite(bound));
  if (bounds.length === 0) return undefined;
  const least = bounds.reduce((a, b) => Math.min(a, b));
  const high = bounds.reduce((a, b) => Math.max(a, b));
  // The bucket around zero has no logarithm: it gets a row of its own below the others.
  const first = proper[0];
  const ratio = first ? first.high / first.low : 2;
  const low = log && found.some((cell) => cell.low <= 0) ? least / ratio : least;
  const cells = found.map((cell) => ({
    ...cell,
    bottom: log && cell.low <= 0 ? low : Math.max(cell.low, low),
    top: log && cell.low <= 0 ? least : Math.min(cell.high, high),
  }));
  return {
    cells,
    low,
    high,
    most: cells.reduce((most, cell) => Math.max(most, cell.count), 0),
    log,
  };
}
