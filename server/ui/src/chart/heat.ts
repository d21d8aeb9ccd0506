// Native histograms as cells of a heat map.

import type { Histogram } from '../api/prometheus';
import { sampleValue } from './values';

export interface Cell {
  /** Seconds. */
  time: number;
  low: number;
  high: number;
  count: number;
}

export interface Heat {
  cells: Cell[];
  /** Lowest and highest bound. */
  low: number;
  high: number;
  most: number;
  /** Whether the bounds have logarithms: all above zero but that of the zero bucket. */
  log: boolean;
}

/** Returns the cells of histograms over time; `undefined` where there is none. */
export function heat(histograms: readonly [number, Histogram][]): Heat | undefined {
  const cells: Cell[] = [];
  for (const [time, histogram] of histograms) {
    for (const [, low, high, count] of histogram.buckets ?? []) {
      const n = sampleValue(count);
      if (n > 0) cells.push({ time, low: sampleValue(low), high: sampleValue(high), count: n });
    }
  }
  if (cells.length === 0) return undefined;
  const log = cells.every(
    (cell) => cell.high > 0 && (cell.low > 0 || cell.high < 1e-3 || cell.low === 0),
  );
  const bounds = cells
    .flatMap((cell) => [cell.low, cell.high])
    .filter((bound) => Number.isFinite(bound) && (!log || bound > 0));
  if (bounds.length === 0) return undefined;
  // A zero bucket would make the scale of logarithms endless: it is drawn at the bottom.
  const proper = cells.filter((cell) => cell.low > 0 && Number.isFinite(cell.low));
  const lows = log && proper.length > 0 ? proper.map((cell) => cell.low) : bounds;
  return {
    cells,
    low: lows.reduce((a, b) => Math.min(a, b)),
    high: bounds.reduce((a, b) => Math.max(a, b)),
    most: cells.reduce((most, cell) => Math.max(most, cell.count), 0),
    log,
  };
}
