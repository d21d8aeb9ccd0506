// Exemplars as dots on a graph. Each tells its labels and leads to the logs around it.

import { Popover } from 'radix-ui';
import { useEffect, useRef, useState } from 'react';
import type uPlot from 'uplot';
import type { Labels } from '../../api/prometheus';
import { sampleValue, shortNumber } from '../../chart/values';
import { LabelPlates } from '../../kit/labels';
import { useSettings } from '../../shell/settings';
import { formatTime } from '../../time/format';
import { absolute, type Interval } from '../../time/range';
import { Link } from '../../url/router';
import { withParams } from '../../url/state';
import type { Outcome } from './run';

/** Most dots; more would cover the lines. */
const most = 150;
/** How much of the logs is looked at around an exemplar. */
const aroundMs = 15 * 60_000;

export interface Dot {
  series: Labels;
  labels: Labels;
  value: number;
  ms: number;
}

/** The exemplars of all queries; of too many the largest values are kept. */
export function exemplarDots(outcomes: readonly Outcome[]): Dot[] {
  const dots: Dot[] = [];
  for (const { exemplars = [] } of outcomes) {
    for (const { seriesLabels, exemplars: found } of exemplars) {
      for (const { labels, value, timestamp } of found) {
        dots.push({
          series: seriesLabels,
          labels,
          value: sampleValue(value),
          ms: timestamp * 1000,
        });
      }
    }
  }
  if (dots.length > most) dots.sort((a, b) => b.value - a.value);
  return dots.slice(0, most).sort((a, b) => a.ms - b.ms);
}

/** The label that names a trace or a request. */
export function idOf(labels: Labels): [string, string] | undefined {
  const entries = Object.entries(labels);
  for (const known of [/^trace_?id$/i, /^request_?id$/i, /^span_?id$/i]) {
    const found = entries.find(([name]) => known.test(name));
    if (found) return found;
  }
  return entries[0];
}

/** Where the log lines with an exemplar's id are. */
export function exemplarHref(dot: Dot): string {
  const id = idOf(dot.labels);
  const range = absolute(dot.ms - aroundMs, dot.ms + aroundMs);
  const params = { ...range, find: id?.[1], near: String(Math.round(dot.ms)) };
  const hints = Object.entries(dot.series).map(([name, value]) => `${name}=${value}`);
  return `/logs?${withParams(new URLSearchParams(), { ...params, hint: hints })}`;
}

export function Exemplars(props: { chart: uPlot; dots: readonly Dot[]; range: Interval }) {
  const { chart, dots, range } = props;
  const { zone } = useSettings();
  const [, redraw] = useState(0);
  const [chosen, setChosen] = useState<Dot>();
  const anchor = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    const drawn = () => redraw((n) => n + 1);
    const hooks = chart.hooks.draw ?? [];
    chart.hooks.draw = [...hooks, drawn];
    drawn();
    return () => {
      chart.hooks.draw = (chart.hooks.draw ?? []).filter((hook) => hook !== drawn);
    };
  }, [chart]);

  const ratio = devicePixelRatio || 1;
  const { left, top, width, height } = chart.bbox;
  const place = {
    left: left / ratio + 8,
    top: top / ratio + 8,
    width: width / ratio,
    height: height / ratio,
  };
  return (
    <Popover.Root
      open={chosen !== undefined}
      onOpenChange={(open) => !open && setChosen(undefined)}
    >
      <div className="exemplars" style={place}>
        {dots
          .filter((dot) => dot.ms >= range.start && dot.ms <= range.end)
          .map((dot) => {
            const x = chart.valToPos(dot.ms / 1000, 'x');
            // Values off the scale are shown at its end.
            const y = Math.min(Math.max(chart.valToPos(dot.value, 'y'), 0), place.height);
            const id = idOf(dot.labels);
            return (
              <button
                key={`${dot.ms} ${id?.[1]} ${dot.value}`}
                type="button"
                className="exemplar-dot"
                aria-label={`Exemplar ${id?.[1] ?? ''}, value ${shortNumber(dot.value)}`}
                style={{ left: x, top: Number.isFinite(y) ? y : place.height }}
                onClick={(event) => {
                  anchor.current = event.currentTarget;
                  setChosen(dot);
                }}
              />
            );
          })}
      </div>
      <Popover.Anchor virtualRef={anchor as React.RefObject<HTMLButtonElement>} />
      <Popover.Portal>
        <Popover.Content className="popover exemplar-told" sideOffset={6} aria-label="Exemplar">
          {chosen && (
            <div className="stack">
              <p>
                <b>{shortNumber(chosen.value)}</b>{' '}
                <span className="muted">at {formatTime(chosen.ms, zone, true)}</span>
              </p>
              <LabelPlates labels={chosen.labels} />
              <LabelPlates labels={chosen.series} />
              <Link className="button" to={exemplarHref(chosen)}>
                Show its log lines
              </Link>
            </div>
          )}
        </Popover.Content>
      </Popover.Portal>
    </Popover.Root>
  );
}
