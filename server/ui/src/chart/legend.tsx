// The series of a chart with their values. A click hides or shows one, with Alt all others.

import { useVirtualizer } from '@tanstack/react-virtual';
import { type MouseEvent, useMemo, useRef, useState } from 'react';
import { SeriesName, seriesName } from '../kit/labels';
import { type Series, type Summary, summary } from './series';
import { shortNumber } from './values';

type Order = 'name' | keyof Summary;

const columns: readonly { order: keyof Summary; title: string }[] = [
  { order: 'last', title: 'Last' },
  { order: 'min', title: 'Min' },
  { order: 'max', title: 'Max' },
  { order: 'mean', title: 'Mean' },
];

interface Props {
  series: readonly Series[];
  colors: readonly string[];
  hidden: ReadonlySet<number>;
  onHidden: (hidden: ReadonlySet<number>) => void;
}

export function Legend({ series, colors, hidden, onHidden }: Props) {
  const [order, setOrder] = useState<Order | undefined>();
  const place = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => {
    const rows = series.map((one, index) => ({ index, ...summary(one.values) }));
    if (order === 'name') {
      const names = series.map((one) => seriesName(one.labels, one.title));
      rows.sort((a, b) => (names[a.index] ?? '').localeCompare(names[b.index] ?? ''));
    } else if (order) {
      rows.sort(
        (a, b) => (b[order] ?? Number.NEGATIVE_INFINITY) - (a[order] ?? Number.NEGATIVE_INFINITY),
      );
    }
    return rows;
  }, [series, order]);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => place.current,
    estimateSize: () => 25,
    overscan: 6,
  });
  const toggle = (index: number, event: MouseEvent) => {
    if (event.altKey || event.ctrlKey || event.metaKey) {
      const alone = hidden.size === series.length - 1 && !hidden.has(index);
      const others = series.map((_, i) => i).filter((i) => i !== index);
      onHidden(new Set(alone ? [] : others));
      return;
    }
    const next = new Set(hidden);
    if (!next.delete(index)) next.add(index);
    onHidden(next);
  };
  const head = (title: string, by: Order) => (
    <button
      type="button"
      className="legend-sort"
      aria-label={`Order by ${title.toLowerCase()}`}
      onClick={() => setOrder(order === by ? undefined : by)}
    >
      {title}
      {order === by ? ' ↓' : ''}
    </button>
  );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
    <div className="legend" ref={place} role="group" aria-label="Legend" tabIndex={0}>
      <div className="legend-head">
        <span>{head(`${series.length} series`, 'name')}</span>
        {columns.map((column) => (
          <span key={column.order} className="legend-value">
            {head(column.title, column.order)}
          </span>
        ))}
      </div>
      <div style={{ height: virtual.getTotalSize(), position: 'relative' }}>
        {virtual.getVirtualItems().map((item) => {
          const row = rows[item.index];
          const one = row && series[row.index];
          if (!row || !one) return null;
          return (
            <div
              key={row.index}
              className="legend-row"
              style={{
                position: 'absolute',
                top: 0,
                left: 0,
                right: 0,
                height: item.size,
                transform: `translateY(${item.start}px)`,
              }}
            >
              <button
                type="button"
                className="legend-name"
                aria-pressed={!hidden.has(row.index)}
                title="Click: hide or show. Alt and click: this one alone."
                onClick={(event) => toggle(row.index, event)}
              >
                <i className="swatch" style={{ background: colors[row.index] }} />
                <SeriesName labels={one.labels} fallback={one.title} />
              </button>
              {columns.map((column) => {
                const value = row[column.order];
                return (
                  <span key={column.order} className="legend-value">
                    {value === null ? '–' : shortNumber(value)}
                  </span>
                );
              })}
            </div>
          );
        })}
      </div>
    </div>
  );
}
