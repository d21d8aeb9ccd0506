// Labels, as people read them.

import type { Labels } from '../api/prometheus';

/** A series' labels as a selector: `up{job="node"}`. */
export function seriesName(labels: Labels, fallback = '{}'): string {
  const { __name__: name, ...others } = labels;
  const pairs = Object.entries(others).map(([key, value]) => `${labelName(key)}=${quote(value)}`);
  if (pairs.length === 0) return name ?? fallback;
  return `${name ?? ''}{${pairs.join(', ')}}`;
}

export function quote(value: string): string {
  return JSON.stringify(value);
}

function labelName(name: string): string {
  return /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) ? name : quote(name);
}

/** Pairs side by side, each on a plate of its own. */
export function LabelPlates({ labels, omit = [] }: { labels: Labels; omit?: readonly string[] }) {
  const pairs = Object.entries(labels).filter(([name]) => !omit.includes(name));
  if (pairs.length === 0) return <span className="muted">no labels</span>;
  return (
    <span className="plates">
      {pairs.map(([name, value]) => (
        <span className="plate" key={name}>
          <span className="plate-name">{name}</span>={quote(value)}
        </span>
      ))}
    </span>
  );
}

/** A series' name with its parts told apart. */
export function SeriesName(props: { labels: Labels; fallback?: string | undefined }) {
  const { labels, fallback = 'no labels' } = props;
  const { __name__: name, ...others } = labels;
  const pairs = Object.entries(others);
  if (!name && pairs.length === 0)
    return <span className="mono muted series-name">{fallback}</span>;
  return (
    <span className="mono series-name">
      {name && <b>{name}</b>}
      {pairs.length > 0 && (
        <>
          {'{'}
          {pairs.map(([key, value], n) => (
            <span key={key}>
              {n > 0 && ', '}
              <span className="label-name">{labelName(key)}</span>=
              <span className="label-value">{quote(value)}</span>
            </span>
          ))}
          {'}'}
        </>
      )}
    </span>
  );
}
