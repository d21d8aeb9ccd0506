// A small graph of a query, for views that show state at a glance.

import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { message } from '../api/http';
import { type Labels, queryRange } from '../api/prometheus';
import { seriesName } from '../kit/labels';
import { Failed, Loading } from '../kit/states';
import { useSettings } from '../shell/settings';
import { absolute, autoStep, resolve } from '../time/range';
import { go, Link } from '../url/router';
import { metricsHref } from '../url/state';
import { Lines } from './lines';
import { seriesColor } from './palette';
import { gridTimes, onGrid } from './series';
import { bytes, shortNumber, type Unit } from './values';

interface Props {
  title: string;
  query: string;
  /** Such as `now-1h`. */
  from: string;
  unit?: Unit;
  stack?: boolean;
}

const none: ReadonlySet<number> = new Set();

export function SmallGraph({ title, query, from, unit, stack = false }: Props) {
  const { dark, zone } = useSettings();
  const asked = useQuery({
    queryKey: ['small', query, from],
    queryFn: async ({ signal }) => {
      const interval = resolve({ from, to: 'now' }, Date.now());
      const step = autoStep(interval, 120);
      const whole = (ms: number) => Math.floor(ms / 1000 / step) * step;
      const range = { start: whole(interval.start), end: whole(interval.end), step };
      return { range, answer: await queryRange(query, range, { signal }) };
    },
    refetchInterval: 15_000,
  });
  const shown = useMemo(() => {
    const data = asked.data?.answer.data;
    const range = asked.data?.range;
    if (!range || data?.resultType !== 'matrix') return undefined;
    const times = gridTimes(range);
    const series = data.result.map((one) => ({
      query: 0,
      labels: one.metric,
      values: onGrid(one, range, times.length),
    }));
    return {
      columns: { times, series },
      interval: { start: range.start * 1000, end: range.end * 1000 },
    };
  }, [asked.data]);
  const colors = useMemo(
    () => (shown?.columns.series ?? []).map((_, index) => seriesColor(index, dark)),
    [shown, dark],
  );
  const last = (shown?.columns.series ?? []).map((one) => one.values.findLast((v) => v !== null));
  const write = unit === 'bytes' ? bytes : shortNumber;
  return (
    <section className="panel" aria-label={title}>
      <div className="panel-head">
        <h3>{title}</h3>
        <Link className="small-link" to={metricsHref([query], { from, to: 'now' })}>
          Explore
        </Link>
      </div>
      {asked.error ? (
        <Failed what={message(asked.error)} />
      ) : !shown ? (
        <Loading what="graph" />
      ) : shown.columns.series.length === 0 ? (
        <p className="state">No samples in this time. Does the server scrape itself?</p>
      ) : (
        <>
          <div className="chart-box">
            <Lines
              columns={shown.columns}
              colors={colors}
              interval={shown.interval}
              hidden={none}
              stack={stack}
              log={false}
              dark={dark}
              zone={zone}
              height={150}
              unit={unit}
              sync="small"
              label={`${title}, now ${last.map((v) => (v == null ? 'nothing' : write(v))).join(', ')}`}
              onZoom={(start, end) => go(metricsHref([query], absolute(start, end)))}
            />
          </div>
          <ul className="small-legend">
            {shown.columns.series.slice(0, 6).map((one, index) => (
              <li key={seriesName(one.labels)}>
                <i className="swatch" style={{ background: colors[index] }} />
                <span className="mono">{told(one.labels, shown.columns.series)}</span>
                <b>{last[index] == null ? '–' : write(last[index])}</b>
              </li>
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

/** The values of the labels that tell series apart. */
function told(labels: Labels, all: readonly { labels: Labels }[]): string {
  const names = Object.keys(labels).filter((name) =>
    all.some((other) => other.labels[name] !== labels[name]),
  );
  return names.map((name) => labels[name]).join(' ') || 'now';
}
