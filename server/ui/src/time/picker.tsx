// The choice of a time range: quick ones, typed ones, or days of a calendar.

import {
  CalendarIcon,
  ChevronLeftIcon,
  ChevronRightIcon,
  ZoomOutIcon,
} from '@radix-ui/react-icons';
import { Popover } from 'radix-ui';
import { type FormEvent, lazy, Suspense, useId, useState } from 'react';
import { Loading } from '../kit/states';
import { useKeys } from '../shell/keys';
import { useSettings } from '../shell/settings';
import { formatTime, readTime, type Zone } from './format';
import { parseTime, quickRanges, rangeProblem, shifted, type TimeRange, zoomed } from './range';
import './picker.css';

const Calendar = lazy(() => import('./calendar'));

interface Props {
  range: TimeRange;
  onChange: (range: TimeRange) => void;
}

/** What a range is called. */
export function rangeLabel(range: TimeRange, zone: Zone): string {
  const quick = quickRanges.find((one) => one.from === range.from && range.to === 'now');
  if (quick) return quick.label;
  if (range.to === 'now' && range.from.startsWith('now-')) return `Last ${range.from.slice(4)}`;
  return `${endText(range.from, zone)} to ${endText(range.to, zone)}`;
}

/** One end as the reader writes it: relative as it is, times in their zone. */
function endText(text: string, zone: Zone): string {
  if (text.startsWith('now')) return text;
  const ms = parseTime(text, Date.now());
  return ms === undefined ? text : formatTime(ms, zone);
}

/** The same the other way round. */
function endOf(text: string, zone: Zone): string {
  const ms = readTime(text, zone);
  return ms === undefined ? text.trim() : new Date(ms).toISOString();
}

export function TimePicker({ range, onChange }: Props) {
  const { zone } = useSettings();
  const [open, setOpen] = useState(false);
  const move = (part: number) => onChange(shifted(range, part, Date.now()));
  const zoomOut = () => onChange(zoomed(range, 2, Date.now()));
  useKeys('Time range', [
    { key: 't', does: 'Choose a time range', run: () => setOpen(true) },
    { key: '[', does: 'Half a range back', run: () => move(-0.5) },
    { key: ']', does: 'Half a range on', run: () => move(0.5) },
    { key: '-', does: 'Twice as long', run: zoomOut },
    { key: '+', does: 'Half as long', run: () => onChange(zoomed(range, 0.5, Date.now())) },
  ]);
  const choose = (range: TimeRange) => {
    setOpen(false);
    onChange(range);
  };
  return (
    <div className="joined time-picker">
      <button type="button" className="icon-button" aria-label="Earlier" onClick={() => move(-0.5)}>
        <ChevronLeftIcon />
      </button>
      <Popover.Root open={open} onOpenChange={setOpen}>
        <Popover.Trigger className="time-now" aria-label={`Time range: ${rangeLabel(range, zone)}`}>
          <CalendarIcon />
          <span>{rangeLabel(range, zone)}</span>
        </Popover.Trigger>
        <Popover.Portal>
          <Popover.Content className="popover time-popover" align="end" sideOffset={4}>
            <Choices range={range} zone={zone} onChoose={choose} />
          </Popover.Content>
        </Popover.Portal>
      </Popover.Root>
      <button type="button" className="icon-button" aria-label="Later" onClick={() => move(0.5)}>
        <ChevronRightIcon />
      </button>
      <button type="button" className="icon-button" aria-label="Zoom out" onClick={zoomOut}>
        <ZoomOutIcon />
      </button>
    </div>
  );
}

function Choices(props: { range: TimeRange; zone: Zone; onChoose: (range: TimeRange) => void }) {
  const { range, zone, onChoose } = props;
  const [from, setFrom] = useState(() => endText(range.from, zone));
  const [to, setTo] = useState(() => endText(range.to, zone));
  const [problem, setProblem] = useState<string>();
  const id = useId();
  const apply = (event: FormEvent) => {
    event.preventDefault();
    const typed = { from: endOf(from, zone), to: endOf(to, zone) };
    const wrong = rangeProblem(typed, Date.now());
    setProblem(wrong);
    if (!wrong) onChoose(typed);
  };
  return (
    <div className="time-choices">
      <ul className="time-quick" aria-label="Quick ranges">
        {quickRanges.map((quick) => (
          <li key={quick.from}>
            <button
              type="button"
              className="quiet small"
              aria-pressed={range.from === quick.from && range.to === 'now'}
              onClick={() => onChoose({ from: quick.from, to: 'now' })}
            >
              {quick.label}
            </button>
          </li>
        ))}
      </ul>
      <form onSubmit={apply} className="time-form">
        <label htmlFor={`${id}from`}>From</label>
        <input
          id={`${id}from`}
          type="text"
          value={from}
          onChange={(e) => setFrom(e.target.value)}
        />
        <label htmlFor={`${id}to`}>To</label>
        <input id={`${id}to`} type="text" value={to} onChange={(e) => setTo(e.target.value)} />
        <p className="muted time-hint">
          Like now-90m, or 2026-11-26 14:00 in {zone === 'utc' ? 'UTC' : 'local time'}.
        </p>
        {problem && (
          <p className="note error" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" className="primary">
          Apply
        </button>
        <Suspense fallback={<Loading what="calendar" />}>
          <Calendar
            zone={zone}
            from={parseTime(endOf(from, zone), Date.now())}
            to={parseTime(endOf(to, zone), Date.now())}
            onChoose={(from, to) => {
              setFrom(from);
              setTo(to);
            }}
          />
        </Suspense>
      </form>
    </div>
  );
}
