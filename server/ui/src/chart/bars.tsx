// Stacked bars over time: how many lines of which severity.

import { useCallback, useMemo, useRef } from 'react';
import uPlot from 'uplot';
import { formatTime, type Zone } from '../time/format';
import type { Interval } from '../time/range';
import { dateIn, timeAxis, valueAxis } from './axes';
import { dragToZoom, Plot } from './plot';
import { tooltip } from './tooltip';
import { count } from './values';

export interface BarSeries {
  name: string;
  color: string;
  values: (number | null)[];
}

interface Props {
  times: number[];
  series: readonly BarSeries[];
  /** Seconds; a bar counts the time before its own. */
  step: number;
  interval: Interval;
  dark: boolean;
  zone: Zone;
  height: number;
  label: string;
  sync?: string | undefined;
  onZoom: (startMs: number, endMs: number) => void;
}

export function Bars(props: Props) {
  const { times, series, step, interval, dark, zone, height, label, sync } = props;
  const calls = useRef(props);
  calls.current = props;
  const data = useMemo(() => {
    const sums: number[] = new Array(times.length).fill(0);
    const rows = series.map(({ values }) =>
      values.map((value, at) => {
        sums[at] = (sums[at] ?? 0) + (value ?? 0);
        return value ? (sums[at] ?? null) : null;
      }),
    );
    // The highest is drawn first, the others over it.
    return [times, ...rows.reverse()] as uPlot.AlignedData;
  }, [times, series]);
  const options = useCallback((): Omit<uPlot.Options, 'width' | 'height'> => {
    const shown = [...series].reverse();
    const paths = uPlot.paths.bars?.({ size: [0.86, 60], align: -1, gap: 0 });
    return {
      legend: { show: false },
      tzDate: dateIn(zone),
      cursor: {
        drag: { x: true, y: false, setScale: false },
        points: { show: false },
        y: false,
        ...(sync ? { sync: { key: sync } } : {}),
      },
      scales: {
        x: { time: true, range: [interval.start / 1000, interval.end / 1000] },
        y: { range: (_u, _min, max) => [0, max > 0 ? max * 1.08 : 1] },
      },
      axes: [timeAxis(dark, zone), { ...valueAxis(dark), space: 24 }],
      series: [
        {},
        ...shown.map(({ name, color }) => ({
          label: name,
          fill: color,
          stroke: color,
          width: 0,
          points: { show: false },
          ...(paths ? { paths } : {}),
        })),
      ],
      plugins: [
        dragToZoom((start, end) => calls.current.onZoom(start, end)),
        tooltip((u, left) => {
          const time = u.posToVal(left, 'x');
          const at = times.findIndex((one) => time > one - step && time <= one);
          const lines = series
            .map(({ name, color, values }) => ({ name, color, value: values[at] ?? 0 }))
            .filter(({ value }) => value > 0);
          const end = times[at];
          if (end === undefined || lines.length === 0) return undefined;
          return {
            title: `${formatTime((end - step) * 1000, zone)} and ${step} s on`,
            more: 0,
            lines: lines.map(({ name, color, value }) => ({
              color,
              text: name,
              value: count(value),
              strong: false,
            })),
          };
        }),
      ],
    };
  }, [times, series, step, interval, dark, zone, sync]);
  return <Plot options={options} data={data} height={height} label={label} />;
}
