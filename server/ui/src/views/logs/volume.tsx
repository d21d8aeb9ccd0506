// How many lines there are over time, by severity.

import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { message } from '../../api/http';
import { levelName, levels, queryLogMetric } from '../../api/loki';
import { Bars } from '../../chart/bars';
import { gridTimes, onGrid } from '../../chart/series';
import { count } from '../../chart/values';
import { Loading } from '../../kit/states';
import { useSettings } from '../../shell/settings';
import { autoStep, formatDuration, type Interval } from '../../time/range';

const colors: Record<string, [light: string, dark: string]> = {
  critical: ['#8e24aa', '#d18be6'],
  error: ['#c93a32', '#f08a80'],
  warn: ['#d18b00', '#e0b14e'],
  info: ['#2f855a', '#6cc592'],
  debug: ['#3b82c4', '#63b3ed'],
  trace: ['#7a8b99', '#8fa1b0'],
  unknown: ['#98a4ae', '#6b7883'],
};

export function levelColor(level: string, dark: boolean): string {
  const found = colors[level] ?? colors.unknown;
  return found?.[dark ? 1 : 0] ?? '#888888';
}

interface Props {
  query: string;
  interval: Interval;
  again: number;
  height?: number;
  sync?: string | undefined;
  onZoom: (startMs: number, endMs: number) => void;
}

export function Volume({ query, interval, again, height = 130, sync, onZoom }: Props) {
  const { dark, zone } = useSettings();
  const step = autoStep(interval, 60);
  const asked = useQuery({
    queryKey: ['volume', query, interval, again],
    queryFn: async ({ signal }) => {
      const whole = (ms: number, round: (n: number) => number) => round(ms / 1000 / step) * step;
      const range = {
        start: whole(interval.start, Math.floor),
        end: whole(interval.end, Math.ceil),
        step,
      };
      const counted = `sum by (level, detected_level) (count_over_time(${query} | drop __error__ [${step}s]))`;
      return { range, answer: await queryLogMetric(counted, range, { signal }) };
    },
    retry: false,
  });
  const shown = useMemo(() => {
    const data = asked.data?.answer.data;
    const range = asked.data?.range;
    if (!range || data?.resultType !== 'matrix') return undefined;
    const times = gridTimes(range);
    const sums = new Map<string, number[]>();
    for (const one of data.result) {
      const level = levelName(one.metric.detected_level ?? one.metric.level ?? '');
      const into = sums.get(level) ?? new Array<number>(times.length).fill(0);
      for (const [at, value] of onGrid(one, range, times.length).entries()) {
        into[at] = (into[at] ?? 0) + (value ?? 0);
      }
      sums.set(level, into);
    }
    // The most severe at the bottom, where all bars begin.
    const series = levels.flatMap((level) => {
      const values = sums.get(level);
      if (!values) return [];
      const total = values.reduce((a, b) => a + b, 0);
      return [{ name: level, color: levelColor(level, dark), values, total }];
    });
    return { times, series };
  }, [asked.data, dark]);
  return (
    <section className="panel volume" aria-label="Volume of lines">
      {shown ? (
        <>
          <div className="chart-box">
            <Bars
              times={shown.times}
              series={shown.series}
              step={step}
              interval={interval}
              dark={dark}
              zone={zone}
              height={height}
              sync={sync}
              label={`Lines over time: ${shown.series.map((one) => `${one.name} ${count(one.total)}`).join(', ') || 'none'}`}
              onZoom={onZoom}
            />
          </div>
          <ul className="small-legend">
            {shown.series.map((one) => (
              <li key={one.name}>
                <i className="swatch" style={{ background: one.color }} />
                {one.name}
                <b>{count(one.total)}</b>
              </li>
            ))}
            <li className="muted">per {formatDuration(step * 1000)}</li>
          </ul>
        </>
      ) : asked.error ? (
        <p className="state">The volume cannot be told: {message(asked.error)}</p>
      ) : (
        <Loading what="volume" />
      )}
    </section>
  );
}
