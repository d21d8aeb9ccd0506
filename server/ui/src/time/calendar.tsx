// Whole days, chosen from a calendar.

import { DayPicker } from 'react-day-picker';
import { formatDate, readTime, type Zone } from './format';
import 'react-day-picker/style.css';

interface Props {
  zone: Zone;
  from: number | undefined;
  to: number | undefined;
  /** Is given both ends as they are typed. */
  onChoose: (from: string, to: string) => void;
}

/** The calendar knows days of the browser's zone only: a day stands for that of ours. */
function asDay(ms: number, zone: Zone): Date {
  return new Date(readTime(formatDate(ms, zone), 'local') ?? ms);
}

export default function Calendar({ zone, from, to, onChoose }: Props) {
  const selected = {
    from: from === undefined ? undefined : asDay(from, zone),
    to: to === undefined ? undefined : asDay(to, zone),
  };
  return (
    <DayPicker
      mode="range"
      animate={false}
      defaultMonth={selected.to}
      disabled={{ after: new Date() }}
      selected={selected}
      onSelect={(days) => {
        if (!days?.from) return;
        const first = formatDate(days.from.getTime(), 'local');
        const last = formatDate((days.to ?? days.from).getTime(), 'local');
        onChoose(`${first} 00:00:00`, `${last} 23:59:59`);
      }}
    />
  );
}
