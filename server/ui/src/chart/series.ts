// Answers of range queries as columns over one row of times.

import type { Labels, RangeAsked, RangeSeries } from '../api/prometheus';
import { sampleValue } from './values';

export interface Series {
  /** Which query it is of, counted from 0. */
  query: number;
  labels: Labels;
  /** What it is called where it has no labels. */
  title?: string;
  /** One value for each time; `null` where there is no sample. */
  values: (number | null)[];
}

export interface Columns {
  /** Seconds. */
  times: number[];
  series: Series[];
}

/** The times of a range query, as the server makes them. */
export function gridTimes(asked: RangeAsked): number[] {
  const times: number[] = [];
  const startMs = Math.round(asked.start * 1000);
  const endMs = Math.round(asked.end * 1000);
  const stepMs = Math.max(1, Math.round(asked.step * 1000));
  for (let t = startMs; t <= endMs; t += stepMs) times.push(t / 1000);
  return times;
}

/** Puts the samples of a series on the grid; missing ones are gaps. */
export function onGrid(series: RangeSeries, asked: RangeAsked, points: number): (number | null)[] {
  const values: (number | null)[] = new Array(points).fill(null);
  const startMs = Math.round(asked.start * 1000);
  const stepMs = Math.max(1, Math.round(asked.step * 1000));
  for (const [seconds, text] of series.values ?? []) {
    const at = Math.round((seconds * 1000 - startMs) / stepMs);
    if (at >= 0 && at < points) values[at] = sampleValue(text);
  }
  return values;
}

export interface Summary {
  last: number | null;
  min: number | null;
  max: number | null;
  mean: number | null;
}

export function summary(values: readonly (number | null)[]): Summary {
  let min: number | null = null;
  let max: number | null = null;
  let last: number | null = null;
  let sum = 0;
  let n = 0;
  for (const value of values) {
    if (value === null) continue;
    last = value;
    if (Number.isNaN(value)) continue;
    if (min === null || value < min) min = value;
    if (max === null || value > max) max = value;
    sum += value;
    n += 1;
  }
  return { last, min, max, mean: n > 0 ? sum / n : null };
}

/** Sums series upon each other, those that are hidden left out; gaps count as nothing. */
export function stacked(
  series: readonly { values: (number | null)[] }[],
  hidden: ReadonlySet<number>,
): (number | null)[][] {
  const sums: number[] = [];
  return series.map(({ values }, index) => {
    if (hidden.has(index)) return values;
    return values.map((value, at) => {
      const sum = (sums[at] ?? 0) + (value !== null && Number.isFinite(value) ? value : 0);
      sums[at] = sum;
      return value === null ? null : sum;
    });
  });
}
