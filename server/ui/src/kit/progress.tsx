// How long something runs already, beside how long it may.

import { useEffect, useState } from 'react';
import { span } from '../time/format';

/** Quick things are over before one could read that they run. */
const quietMs = 300;

export function Progress(props: {
  began: number;
  limitMs: number | undefined;
  onCancel: () => void;
}) {
  const { began, limitMs, onCancel } = props;
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 100);
    return () => clearInterval(timer);
  }, []);
  const elapsed = now - began;
  if (elapsed < quietMs) return null;
  const part = limitMs ? Math.min(elapsed / limitMs, 1) : undefined;
  return (
    <div className="progress">
      <progress
        aria-label="Query is running"
        max={1}
        {...(part === undefined ? {} : { value: part })}
      />
      <span>
        Running for {(elapsed / 1000).toFixed(1)} s{limitMs ? `, at most ${span(limitMs)}` : ''}
      </span>
      <button type="button" className="small" onClick={onCancel}>
        Cancel
      </button>
    </div>
  );
}
