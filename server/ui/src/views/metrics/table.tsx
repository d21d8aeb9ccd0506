// The answer of queries at one time as a table.

import { DownloadIcon } from '@radix-ui/react-icons';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useMemo, useRef } from 'react';
import type { Histogram, InstantSeries, Labels, Point } from '../../api/prometheus';
import { SeriesName, seriesName } from '../../kit/labels';
import { csvLine, save } from '../../kit/save';
import { Empty } from '../../kit/states';
import { useSettings } from '../../shell/settings';
import { formatTime } from '../../time/format';
import { runJson } from './export_menu';
import type { Outcome, Run } from './run';

interface Row {
  labels: Labels;
  text: string;
  histogram?: Histogram | undefined;
  points?: Point[];
}

export function ResultTable({ run }: { run: Run }) {
  const { zone } = useSettings();
  const several = run.outcomes.length > 1;
  const csv = () => {
    const lines = run.outcomes.flatMap((outcome) =>
      rowsOf(outcome).map((row) => csvLine([outcome.query, seriesName(row.labels), row.text])),
    );
    save('kymo.csv', new Blob([csvLine(['query', 'series', 'value']), ...lines]));
  };
  return (
    <div>
      <p className="graph-foot muted">
        <span>At {formatTime(run.asked.end * 1000, zone)}</span>
        <span className="hint" />
        <button type="button" className="small" onClick={csv}>
          <DownloadIcon /> CSV
        </button>
        <button
          type="button"
          className="small"
          onClick={() => save('kymo.json', new Blob([runJson(run)]))}
        >
          <DownloadIcon /> JSON
        </button>
      </p>
      {run.outcomes.map((outcome) => (
        <section key={outcome.query} aria-label={`Result of ${outcome.query}`}>
          {several && <h3 className="result-title mono">{outcome.query}</h3>}
          <Result outcome={outcome} />
        </section>
      ))}
    </div>
  );
}

function rowsOf({ answer }: Outcome): Row[] {
  const data = answer?.data;
  if (!data) return [];
  switch (data.resultType) {
    case 'vector':
      return data.result.map(instantRow);
    case 'matrix':
      return data.result.map((series) => ({
        labels: series.metric,
        text: (series.values ?? []).map(([time, value]) => `${value} @${time}`).join('\n'),
        points: series.values ?? [],
      }));
    default:
      return [{ labels: {}, text: data.result[1] }];
  }
}

function instantRow({ metric, value, histogram }: InstantSeries): Row {
  if (value) return { labels: metric, text: value[1] };
  const one = histogram?.[1];
  return { labels: metric, text: `count ${one?.count}, sum ${one?.sum}`, histogram: one };
}

function Result({ outcome }: { outcome: Outcome }) {
  const place = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => rowsOf(outcome), [outcome]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => place.current,
    estimateSize: () => 30,
    overscan: 10,
  });
  if (outcome.error) return <Empty title="Nothing to show: see the message above." />;
  if (rows.length === 0) return <Empty title="No series has a sample at this time." />;
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
    <div className="result-rows" ref={place} role="table" aria-label="Values" tabIndex={0}>
      <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: 'relative' }}>
        {virtual.getVirtualItems().map((item) => {
          const row = rows[item.index];
          if (!row) return null;
          return (
            <div
              key={item.key}
              ref={virtual.measureElement}
              data-index={item.index}
              role="row"
              className="result-row"
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <span role="cell">
                <SeriesName labels={row.labels} />
              </span>
              <span role="cell" className="result-value mono">
                {row.histogram ? <Buckets histogram={row.histogram} text={row.text} /> : row.text}
              </span>
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Buckets({ histogram, text }: { histogram: Histogram; text: string }) {
  const buckets = histogram.buckets ?? [];
  const most = Math.max(1, ...buckets.map((bucket) => Number(bucket[3])));
  return (
    <details>
      <summary>{text}</summary>
      {buckets.map(([, low, high, count]) => (
        <div key={low} className="bucket">
          <span>
            {low} to {high}
          </span>
          <meter min={0} max={most} value={Number(count)} aria-label={`${low} to ${high}`} />
          <span>{count}</span>
        </div>
      ))}
    </details>
  );
}
