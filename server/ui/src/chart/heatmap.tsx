// A heat map: buckets of a histogram over time, darker where more was counted.

import { useCallback, useMemo, useRef } from 'react';
import type uPlot from 'uplot';
import { formatTime, type Zone } from '../time/format';
import type { Interval } from '../time/range';
import { dateIn, timeAxis, valueAxis } from './axes';
import type { Cell, Heat } from './heat';
import { dragToZoom, Plot } from './plot';
import { tooltip } from './tooltip';
import { shortNumber } from './values';

interface Props {
  heat: Heat;
  /** Seconds between columns. */
  step: number;
  interval: Interval;
  dark: boolean;
  zone: Zone;
  height: number;
  label: string;
  onZoom: (startMs: number, endMs: number) => void;
  onReady?: (chart: uPlot) => void;
}

export function Heatmap(props: Props) {
  const { heat, step, interval, dark, zone, height, label } = props;
  const calls = useRef(props);
  calls.current = props;
  const data = useMemo((): uPlot.AlignedData => {
    const times = [...new Set(heat.cells.map((cell) => cell.time))].sort((a, b) => a - b);
    return [times, times.map(() => heat.low)];
  }, [heat]);
  const options = useCallback((): Omit<uPlot.Options, 'width' | 'height'> => {
    const base = dark ? '79 179 201' : '15 110 132';
    const color = (cell: Cell) =>
      `rgb(${base} / ${(0.08 + 0.92 * Math.sqrt(cell.count / heat.most)).toFixed(3)})`;
    return {
      legend: { show: false },
      tzDate: dateIn(zone),
      cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false } },
      scales: {
        x: { time: true, range: [interval.start / 1000, interval.end / 1000] },
        y: { distr: heat.log ? 3 : 1, range: [heat.low, heat.high] },
      },
      axes: [timeAxis(dark, zone), valueAxis(dark)],
      series: [{}, { show: true, paths: () => null, points: { show: false } }],
      plugins: [
        dragToZoom((start, end) => calls.current.onZoom(start, end)),
        tooltip((u, left, top) => {
          const time = u.posToVal(left, 'x');
          const value = u.posToVal(top, 'y');
          const cell = heat.cells.find(
            (one) =>
              time > one.time - step && time <= one.time && value >= one.bottom && value < one.top,
          );
          if (!cell) return undefined;
          return {
            title: formatTime(cell.time * 1000, zone),
            more: 0,
            lines: [
              {
                color: color(cell),
                text: `${shortNumber(cell.low)} to ${shortNumber(cell.high)}`,
                value: shortNumber(cell.count),
                strong: true,
              },
            ],
          };
        }),
      ],
      hooks: {
        drawSeries: [
          (u) => {
            u.ctx.save();
            for (const cell of heat.cells) {
              // A sample tells of the time before it.
              const x0 = Math.round(u.valToPos(cell.time - step, 'x', true));
              const x1 = Math.round(u.valToPos(cell.time, 'x', true));
              const y0 = Math.round(u.valToPos(cell.top, 'y', true));
              const y1 = Math.max(Math.round(u.valToPos(cell.bottom, 'y', true)), y0 + 1);
              u.ctx.fillStyle = color(cell);
              u.ctx.fillRect(Math.max(x0, u.bbox.left), y0, Math.max(x1 - x0, 1), y1 - y0);
            }
            u.ctx.restore();
          },
        ],
      },
    };
  }, [heat, step, interval, dark, zone]);
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
