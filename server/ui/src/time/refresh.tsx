// Asking again by itself, every so often.

import { useEffect, useRef } from 'react';

const choices = ['', '5s', '10s', '30s', '1m', '5m'];

export function RefreshSelect(props: { every: string; onChange: (every: string) => void }) {
  return (
    <label className="field">
      <span className="visually-hidden">Refresh</span>
      <select value={props.every} onChange={(e) => props.onChange(e.target.value)}>
        {choices.map((every) => (
          <option key={every} value={every}>
            {every === '' ? 'No refresh' : `Every ${every}`}
          </option>
        ))}
      </select>
    </label>
  );
}

/** Calls back every so often, while the page is looked at. */
export function useEvery(ms: number | undefined, run: () => void) {
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    if (ms === undefined) return;
    const timer = setInterval(() => {
      if (document.visibilityState === 'visible') latest.current();
    }, ms);
    return () => clearInterval(timer);
  }, [ms]);
}
