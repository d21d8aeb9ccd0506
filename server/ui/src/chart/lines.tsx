// A chart of lines over time: several series, gaps where there is no sample.

import { useCallback, useMemo, useRef } from 'react';
import type uPlot from 'uplot';
import { seriesName } from '../kit/labels';
import { formatTime, type Zone } from '../time/format';
import type { Interval } from '../time/range';
import { dateIn, timeAxis, valueAxis } from './axes';
import { dragToZoom, Plot } from './plot';
import { type Columns, stacked } from './series';
import { tooltip } from './tooltip';
import { bytes, shortNumber, type Unit } from './values';

/** Most series that the pointer tells of. */
const told = 12;

interface Props {
  columns: Columns;
  colors: readonly string[];
  interval: Interval;
  hidden: ReadonlySet<number>;
  stack: boolean;
  log: boolean;
  dark: boolean;
  zone: Zone;
  height: number;
  unit?: Unit | undefined;
  label: string;
  onZoom: (startMs: number, endMs: number) => void;
  onZoomOut?: () => void;
  /** Is told the time that was clicked. */
  onPick?: ((ms: number) => void) | undefined;
  onReady?: (chart: uPlot) => void;
  /** Charts with the same key show their pointers together. */
  sync?: string;
}

/** The points that have no neighbour, which a line would not show. */
function isolated(values: ArrayLike<number | null | undefined>): number[] {
  const found: number[] = [];
  for (let i = 0; i < values.length; i += 1) {
    if (values[i] != null && values[i - 1] == null && values[i + 1] == null) found.push(i);
  }
  return found;
}

export function Lines(props: Props) {
  const { columns, colors, interval, hidden, stack, log, dark, zone, height, unit, label, sync } =
    props;
  const calls = useRef(props);
  calls.current = props;

  const data = useMemo(() => {
    const rows = stack ? stacked(columns.series, hidden) : columns.series.map((one) => one.values);
    // What has no logarithm is a gap on that scale.
    const shown = log ? rows.map((row) => row.map((v) => (v !== null && v > 0 ? v : null))) : rows;
    const finite = shown.map((row) =>
      row.map((v) => (v !== null && Number.isFinite(v) ? v : null)),
    );
    return [columns.times, ...finite] as uPlot.AlignedData;
  }, [columns, stack, log, hidden]);

  const options = useCallback((): Omit<uPlot.Options, 'width' | 'height'> => {
    const width = columns.series.length > 60 ? 1 : 1.5;
    const names = columns.series.map((series) => seriesName(series.labels, series.title));
    return {
      legend: { show: false },
      tzDate: dateIn(zone),
      cursor: {
        drag: { x: true, y: false, setScale: false },
        points: { show: columns.series.length <= 60 },
        ...(sync ? { sync: { key: sync } } : {}),
      },
      scales: {
        x: { time: true, range: [interval.start / 1000, interval.end / 1000] },
        y: {
          distr: log ? 3 : 1,
          range: (_u, min, max) => yRange(min, max, log, stack),
        },
      },
      axes: [timeAxis(dark, zone), valueAxis(dark, unit)],
      series: [
        {},
        ...columns.series.map((_, index) => ({
          label: names[index] ?? '',
          stroke: colors[index] ?? '#888888',
          width,
          show: !hidden.has(index),
          ...(stack ? { fill: `${colors[index]}55` } : {}),
          points: {
            show: false,
            size: 4,
            fill: colors[index] ?? '#888888',
            filter: (u: uPlot, at: number) => isolated(u.data[at] ?? []),
          },
        })),
      ],
      bands: stack ? bands(columns.series.length, hidden) : [],
      plugins: [
        dragToZoom((start, end) => calls.current.onZoom(start, end)),
        tooltip((u, _left, top) => {
          const at = u.cursor.idx;
          if (at == null) return undefined;
          const time = u.data[0][at];
          if (time === undefined) return undefined;
          const here: { index: number; value: number; far: number }[] = [];
          for (const [index, series] of columns.series.entries()) {
            const value = series.values[at];
            const drawn = u.data[index + 1]?.[at];
            if (hidden.has(index) || value == null) continue;
            const far = drawn == null ? 1e9 : Math.abs(u.valToPos(drawn, 'y') - top);
            here.push({ index, value, far });
          }
          if (here.length === 0) return undefined;
          const nearest = here.reduce((best, one) => (one.far < best.far ? one : best));
          const sorted = here.sort((a, b) => a.far - b.far).slice(0, told);
          sorted.sort((a, b) => b.value - a.value);
          return {
            title: formatTime(time * 1000, zone, interval.end - interval.start < 60_000),
            more: here.length - sorted.length,
            lines: sorted.map(({ index, value }) => ({
              color: colors[index] ?? '',
              text: names[index] ?? '',
              value: unit === 'bytes' ? bytes(value) : shortNumber(value),
              strong: index === nearest.index,
            })),
          };
        }),
      ],
      hooks: {
        ready: [
          (u) => {
            u.over.addEventListener('dblclick', () => calls.current.onZoomOut?.());
            u.over.addEventListener('click', () => {
              const left = u.cursor.left ?? -1;
              if (left >= 0 && u.select.width < 4) {
                calls.current.onPick?.(u.posToVal(left, 'x') * 1000);
              }
            });
          },
        ],
      },
    };
  }, [columns, colors, interval, hidden, stack, log, dark, zone, unit, sync]);

  return (
    <Plot
      options={options}
      data={data}
      height={height}
      label={label}
      {...(props.onReady ? { onReady: props.onReady } : {})}
    />
  );
}

/** Between a line and the next one below that is shown, so that areas do not cover each other. */
function bands(count: number, hidden: ReadonlySet<number>): uPlot.Band[] {
  const shown = Array.from({ length: count }, (_, index) => index).filter((i) => !hidden.has(i));
  return shown.slice(1).map((index, n) => ({ series: [index + 1, (shown[n] ?? 0) + 1] }));
}

function yRange(
  min: number | null,
  max: number | null,
  log: boolean,
  stack: boolean,
): [number, number] {
  if (min === null || max === null) return log ? [1, 10] : [0, 1];
  if (log) {
    const low = 10 ** Math.floor(Math.log10(min));
    const high = 10 ** Math.ceil(Math.log10(max));
    return [low, high > low ? high : low * 10];
  }
  let [low, high] = [stack ? Math.min(0, min) : min, max];
  if (low === high) {
    const by = Math.abs(low) * 0.1 || 1;
    return [low - by, high + by];
  }
  const room = (high - low) * 0.06;
  // Values that never fall below zero are not shown as if they could.
  low = low >= 0 && low - room < 0 ? 0 : low - (low === 0 ? 0 : room);
  high = high <= 0 && high + room > 0 ? 0 : high + room;
  return [low, high];
}
