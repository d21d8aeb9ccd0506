// Entries below each other. Only those that are seen are drawn, so that many stay fluid.

import { useVirtualizer } from '@tanstack/react-virtual';
import { type KeyboardEvent, useCallback, useEffect, useRef, useState } from 'react';
import { type Entry, levelOf, millis } from '../../api/loki';
import { useSettings } from '../../shell/settings';
import { formatClock, formatDate, type Zone } from '../../time/format';
import { Details, type Field, type OnFilter } from './details';
import { LineText } from './line';
import { levelColor } from './volume';
import './logs.css';

interface Props {
  entries: readonly Entry[];
  find: RegExp | undefined;
  wrap: boolean;
  onFilter: OnFilter;
  idHref: (field: Field) => string;
  /** Is called when the end comes into sight. */
  onEnd?: () => void;
  foot?: string;
}

export function LogList(props: Props) {
  const { entries, find, wrap, onFilter, idHref, onEnd, foot } = props;
  const { dark, zone } = useSettings();
  const place = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set());
  const [current, setCurrent] = useState(-1);

  const virtual = useVirtualizer({
    count: entries.length,
    getScrollElement: () => place.current,
    estimateSize: () => 22,
    overscan: 12,
    getItemKey: (index) => entries[index]?.key ?? index,
  });
  // One day needs no date at every line.
  const days = day(entries[0], zone) !== day(entries.at(-1), zone);
  const items = virtual.getVirtualItems();
  const last = items.at(-1)?.index ?? 0;
  useEffect(() => {
    if (entries.length > 0 && last >= entries.length - 30) onEnd?.();
  }, [last, entries.length, onEnd]);

  const toggle = useCallback((key: string) => {
    setOpen((now) => {
      const next = new Set(now);
      if (!next.delete(key)) next.add(key);
      return next;
    });
  }, []);
  const move = (event: KeyboardEvent) => {
    if (event.target !== place.current) return;
    const by: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 };
    const step = by[event.key];
    if (step !== undefined) {
      event.preventDefault();
      const next = Math.min(Math.max(current + step, 0), entries.length - 1);
      setCurrent(next);
      virtual.scrollToIndex(next, { align: 'auto' });
    } else if (event.key === 'Enter' && current >= 0) {
      event.preventDefault();
      toggle(entries[current]?.key ?? '');
    }
  };

  return (
    <div
      className={wrap ? 'log-list wrap' : 'log-list'}
      ref={place}
      role="group"
      aria-label="Lines, to be scrolled"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keys
      tabIndex={0}
      onKeyDown={move}
    >
      <div
        role="feed"
        aria-label="Log lines"
        aria-busy={foot !== undefined}
        style={{ height: virtual.getTotalSize(), position: 'relative' }}
      >
        {items.map((item) => {
          const entry = entries[item.index];
          if (!entry) return null;
          const ms = millis(entry.ns);
          const level = levelOf(entry);
          const expanded = open.has(entry.key);
          return (
            <article
              key={item.key}
              ref={virtual.measureElement}
              data-index={item.index}
              aria-posinset={item.index + 1}
              aria-setsize={-1}
              aria-label={`${level} at ${formatClock(ms, zone)}`}
              className={item.index === current ? 'log-row current' : 'log-row'}
              style={{
                transform: `translateY(${item.start}px)`,
                borderLeftColor: levelColor(level, dark),
              }}
            >
              <button
                type="button"
                className="log-line"
                aria-expanded={expanded}
                onClick={() => {
                  setCurrent(item.index);
                  toggle(entry.key);
                }}
              >
                <span className="log-time">
                  {days && `${formatDate(ms, zone).slice(5)} `}
                  {formatClock(ms, zone, true)}
                </span>
                <span className="log-text">
                  <LineText text={entry.line} find={find} />
                </span>
              </button>
              {expanded && <Details entry={entry} onFilter={onFilter} idHref={idHref} />}
            </article>
          );
        })}
      </div>
      {foot && (
        <p className="log-foot muted" role="status">
          {foot}
        </p>
      )}
    </div>
  );
}

function day(entry: Entry | undefined, zone: Zone): string {
  return entry ? formatDate(millis(entry.ns), zone) : '';
}
