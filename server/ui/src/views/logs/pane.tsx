// What a query of logs gives: volume and lines; or a graph where it counts.

import { useQuery } from '@tanstack/react-query';
import { useCallback, useMemo, useState } from 'react';
import { message } from '../../api/http';
import { type Direction, queryLogMetric } from '../../api/loki';
import { Legend } from '../../chart/legend';
import { Lines } from '../../chart/lines';
import { seriesColor } from '../../chart/palette';
import { gridTimes, onGrid } from '../../chart/series';
import { bytes, count } from '../../chart/values';
import { Progress } from '../../kit/progress';
import { Empty, Failed, Loading } from '../../kit/states';
import { isMetricQuery, needleRegex, needles } from '../../logql/query';
import { useSettings } from '../../shell/settings';
import { span } from '../../time/format';
import { absolute, autoStep, type Interval, type TimeRange } from '../../time/range';
import { logsHref } from '../../url/state';
import type { Field, OnFilter } from './details';
import { type EntriesAsked, useEntries } from './entries';
import { filtered, useBroadSelector, withId } from './filter';
import { LogList } from './list';
import { Volume } from './volume';

interface Props {
  query: string;
  interval: Interval;
  direction: Direction;
  wrap: boolean;
  again: number;
  limitMs?: number | undefined;
  /** Shown in a chart beside others. */
  sync?: string;
  /** Lines before this are shown first. */
  near?: number | undefined;
  onQuery: (query: string) => void;
  onRange: (range: TimeRange) => void;
}

export default function LogPane(props: Props) {
  return isMetricQuery(props.query) ? <MetricPane {...props} /> : <LinesPane {...props} />;
}

function LinesPane(props: Props) {
  const { query, interval, direction, wrap, again, limitMs, sync, near, onQuery, onRange } = props;
  const asked = useMemo<EntriesAsked>(() => {
    const end = near === undefined ? interval.end : Math.min(near, interval.end);
    return { query, interval: { start: interval.start, end }, direction, again };
  }, [query, interval, direction, again, near]);
  const { loaded, more, cancel } = useEntries(asked);
  const { entries, loading, complete, error, warnings, stats } = loaded;
  const find = useMemo(() => needleRegex(needles(query)), [query]);
  const broad = useBroadSelector(interval);
  const idHref = useCallback(
    (field: Field) => logsHref(withId(broad, field), absolute(interval.start, interval.end)),
    [broad, interval],
  );
  const onFilter = useCallback<OnFilter>(
    (field, side) => onQuery(filtered(query, field, side)),
    [query, onQuery],
  );
  const summary = stats?.summary;
  return (
    <>
      {error && <Failed what={error} />}
      {warnings.map((text) => (
        <p className="note warn" role="status" key={text}>
          Warning: {text}
        </p>
      ))}
      <Volume
        query={query}
        interval={interval}
        again={again}
        height={sync ? 100 : 130}
        sync={sync}
        onZoom={(start, end) => onRange(absolute(start, end))}
      />
      <section className="panel" aria-label="Lines">
        <div className="panel-head">
          <h2>
            {count(entries.length)} {entries.length === 1 ? 'line' : 'lines'}
            {!complete && entries.length > 0 && ' so far'}
          </h2>
          {loading && <Progress began={loaded.began} limitMs={limitMs} onCancel={cancel} />}
          {summary?.totalLinesProcessed !== undefined && (
            <span className="muted">
              looked at {count(summary.totalLinesProcessed)} lines,{' '}
              {bytes(summary.totalBytesProcessed ?? 0)}, {span((summary.execTime ?? 0) * 1000)}
            </span>
          )}
        </div>
        {entries.length === 0 ? (
          loading ? (
            <Loading what="lines" />
          ) : (
            !error && (
              <Empty title="No line is like this in this time.">
                <p>Try a longer range, or fewer filters.</p>
              </Empty>
            )
          )
        ) : (
          <LogList
            entries={entries}
            find={find}
            wrap={wrap}
            onFilter={onFilter}
            idHref={idHref}
            onEnd={more}
            {...(complete ? {} : { foot: 'Loading more lines…' })}
          />
        )}
      </section>
    </>
  );
}

function MetricPane({ query, interval, again, onRange, sync }: Props) {
  const { dark, zone } = useSettings();
  const [hidden, setHidden] = useState<ReadonlySet<number>>(new Set());
  const asked = useQuery({
    queryKey: ['log metric', query, interval, again],
    queryFn: async ({ signal }) => {
      const step = autoStep(interval, 200);
      const whole = (ms: number) => Math.floor(ms / 1000 / step) * step;
      const range = { start: whole(interval.start), end: whole(interval.end), step };
      return { range, answer: await queryLogMetric(query, range, { signal }) };
    },
    retry: false,
  });
  const columns = useMemo(() => {
    const data = asked.data?.answer.data;
    const range = asked.data?.range;
    if (!range || data?.resultType !== 'matrix') return undefined;
    const times = gridTimes(range);
    const series = data.result.map((one) => ({
      query: 0,
      labels: one.metric,
      title: query,
      values: onGrid(one, range, times.length),
    }));
    return { times, series };
  }, [asked.data, query]);
  const colors = useMemo(
    () => (columns?.series ?? []).map((_, index) => seriesColor(index, dark)),
    [columns, dark],
  );
  if (asked.error) return <Failed what={message(asked.error)} />;
  if (!columns) return <Loading what="graph" />;
  return (
    <section className="panel" aria-label="Graph">
      {columns.series.length === 0 ? (
        <Empty title="No line is like this in this time." />
      ) : (
        <>
          <div className="chart-box">
            <Lines
              columns={columns}
              colors={colors}
              interval={interval}
              hidden={hidden}
              stack={false}
              log={false}
              dark={dark}
              zone={zone}
              height={300}
              {...(sync ? { sync } : {})}
              label={`Graph of ${columns.series.length} series from logs`}
              onZoom={(start, end) => onRange(absolute(start, end))}
            />
          </div>
          <Legend series={columns.series} colors={colors} hidden={hidden} onHidden={setHidden} />
        </>
      )}
    </section>
  );
}
