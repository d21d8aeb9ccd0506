// The axes that all charts share.

import uPlot from 'uplot';
import { formatClock, formatDate, type Zone } from '../time/format';
import { chartInk } from './palette';
import { axisNumbers, bytes, type Unit } from './values';

const font = '11px system-ui, sans-serif';

/** Ticks of time: the clock, and the date below where a day begins. */
export function timeTicks(seconds: readonly number[], zone: Zone): string[] {
  const step = seconds.length > 1 ? (seconds[1] ?? 0) - (seconds[0] ?? 0) : 60;
  let day = '';
  return seconds.map((second) => {
    const ms = second * 1000;
    const date = formatDate(ms, zone);
    const clock = formatClock(ms, zone, step < 1);
    const first = date !== day;
    day = date;
    if (step >= 86_400) return date.slice(5);
    const short = step >= 60 ? clock.slice(0, 5) : clock;
    return first ? `${short}\n${date.slice(5)}` : short;
  });
}

export function timeAxis(dark: boolean, zone: Zone): uPlot.Axis {
  const ink = chartInk(dark);
  return {
    font,
    stroke: ink.text,
    grid: { stroke: ink.grid, width: 1 },
    ticks: { stroke: ink.axis, width: 1, size: 4 },
    space: 70,
    size: 40,
    values: (_u, splits) => timeTicks(splits, zone),
  };
}

export function valueAxis(dark: boolean, unit?: Unit): uPlot.Axis {
  const ink = chartInk(dark);
  return {
    font,
    stroke: ink.text,
    grid: { stroke: ink.grid, width: 1 },
    ticks: { show: false },
    size: (_u, values) =>
      Math.max(44, ...(values ?? []).map((value) => (value ?? '').length * 7 + 14)),
    values: (_u, splits) => {
      const shown = splits.filter((split) => split !== null);
      const labels = unit === 'bytes' ? shown.map(bytes) : axisNumbers(shown);
      return splits.map((split) => (split === null ? '' : (labels[shown.indexOf(split)] ?? '')));
    },
  };
}

export function dateIn(zone: Zone): (seconds: number) => Date {
  return (seconds) => {
    const date = new Date(seconds * 1000);
    return zone === 'utc' ? uPlot.tzDate(date, 'Etc/UTC') : date;
  };
}
