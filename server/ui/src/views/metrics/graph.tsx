// The answer of range queries as a graph, with legend, exemplars and heat maps.

import { useEffect, useMemo, useRef, useState } from 'react';
import type uPlot from 'uplot';
import type { RangeSeries } from '../../api/prometheus';
import { heat } from '../../chart/heat';
import { Heatmap } from '../../chart/heatmap';
import { Legend } from '../../chart/legend';
import { Lines } from '../../chart/lines';
import { seriesColor } from '../../chart/palette';
import { type Columns, gridTimes, onGrid } from '../../chart/series';
import { seriesName } from '../../kit/labels';
import { Empty } from '../../kit/states';
import { useSettings } from '../../shell/settings';
import { absolute, formatDuration, type TimeRange, zoomed } from '../../time/range';
import { Exemplars, exemplarDots } from './exemplars';
import { ExportMenu } from './export_menu';
import type { Run } from './run';

interface Props {
  run: Run;
  range: TimeRange;
  stack: boolean;
  log: boolean;
  onRange: (range: TimeRange) => void;
  onPick?: (ms: number) => void;
  sync?: string;
  height?: number;
}

export default function Graph(props: Props) {
  const { run, range, stack, log, onRange, onPick, sync, height = 340 } = props;
  const { dark, zone } = useSettings();
  const [hidden, setHidden] = useState<ReadonlySet<number>>(new Set());
  const chart = useRef<uPlot>(undefined);
  const [drawn, setDrawn] = useState<uPlot>();
  const asked = run.asked.range;

  const { columns, histograms } = useMemo(() => read(run), [run]);
  const identity = JSON.stringify(columns.series.map((one) => seriesName(one.labels)));
  // biome-ignore lint/correctness/useExhaustiveDependencies: other series are shown anew
  useEffect(() => setHidden(new Set()), [identity]);
  const colors = useMemo(
    () => columns.series.map((_, index) => seriesColor(index, dark)),
    [columns, dark],
  );
  const interval = useMemo(
    () => ({ start: (asked?.start ?? 0) * 1000, end: (asked?.end ?? 1) * 1000 }),
    [asked],
  );
  const dots = useMemo(() => exemplarDots(run.outcomes), [run]);
  if (!asked) return null;
  const zoom = (start: number, end: number) => onRange(absolute(start, end));
  const failed = run.outcomes.every((outcome) => outcome.error);
  if (columns.series.length === 0 && histograms.length === 0) {
    return failed ? (
      <Empty title="Nothing to show: see the message above." />
    ) : (
      <Empty title="No series has samples in this range.">
        <p>Is the name right? A longer range may have some.</p>
        <button type="button" onClick={() => onRange(zoomed(range, 4, Date.now()))}>
          Look four times as far
        </button>
      </Empty>
    );
  }
  return (
    <div className="graph">
      {columns.series.length > 0 && (
        <>
          <div className="chart-box">
            <Lines
              columns={columns}
              colors={colors}
              interval={interval}
              hidden={hidden}
              stack={stack}
              log={log}
              dark={dark}
              zone={zone}
              height={height}
              label={`Graph of ${columns.series.length} series; the table has the values`}
              onZoom={zoom}
              onZoomOut={() => onRange(zoomed(range, 2, Date.now()))}
              onPick={onPick}
              {...(sync ? { sync } : {})}
              onReady={(made) => {
                chart.current = made;
                setDrawn(made);
              }}
            />
            {drawn && dots.length > 0 && <Exemplars chart={drawn} dots={dots} range={interval} />}
          </div>
          <p className="graph-foot muted">
            <span>Step {formatDuration(asked.step * 1000)}</span>
            {dots.length > 0 && <span>{dots.length} exemplars</span>}
            <span className="hint">Drag to zoom, double-click to zoom out</span>
            <ExportMenu
              run={run}
              columns={columns}
              colors={colors}
              hidden={hidden}
              canvas={() => chart.current?.ctx.canvas}
            />
          </p>
          <Legend series={columns.series} colors={colors} hidden={hidden} onHidden={setHidden} />
        </>
      )}
      {histograms.length > 0 && (
        <HeatPanel histograms={histograms} step={asked.step} interval={interval} onZoom={zoom} />
      )}
    </div>
  );
}

/** Sorts what came into lines and histograms. */
function read(run: Run): { columns: Columns; histograms: RangeSeries[] } {
  const asked = run.asked.range;
  const columns: Columns = { times: [], series: [] };
  const histograms: RangeSeries[] = [];
  if (!asked) return { columns, histograms };
  columns.times = gridTimes(asked);
  for (const [query, outcome] of run.outcomes.entries()) {
    const data = outcome.answer?.data;
    if (data?.resultType !== 'matrix') continue;
    for (const series of data.result) {
      if (series.histograms?.length) histograms.push(series);
      if (series.values?.length) {
        const values = onGrid(series, asked, columns.times.length);
        columns.series.push({ query, labels: series.metric, title: outcome.query, values });
      }
    }
  }
  return { columns, histograms };
}

function HeatPanel(props: {
  histograms: RangeSeries[];
  step: number;
  interval: { start: number; end: number };
  onZoom: (start: number, end: number) => void;
}) {
  const { histograms, step, interval, onZoom } = props;
  const { dark, zone } = useSettings();
  const [chosen, setChosen] = useState(0);
  const series = histograms[chosen] ?? histograms[0];
  const cells = useMemo(() => heat(series?.histograms ?? []), [series]);
  return (
    <section aria-label="Native histograms" className="heat">
      <label className="field heat-choice">
        Histogram
        <select value={chosen} onChange={(e) => setChosen(Number(e.target.value))}>
          {histograms.map((one, index) => (
            <option key={seriesName(one.metric)} value={index}>
              {seriesName(one.metric)}
            </option>
          ))}
        </select>
      </label>
      {cells ? (
        <div className="chart-box">
          <Heatmap
            heat={cells}
            step={step}
            interval={interval}
            dark={dark}
            zone={zone}
            height={300}
            label={`Heat map of a native histogram with ${cells.cells.length} buckets over time`}
            onZoom={onZoom}
          />
        </div>
      ) : (
        <Empty title="This histogram has counted nothing in this range." />
      )}
    </section>
  );
}
