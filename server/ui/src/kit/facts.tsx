// Names with values, one below the other.

import type { ReactNode } from 'react';

export function Facts({ of }: { of: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className="facts">
      {of.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A list of names by how much there is of each. */
export function Bars(props: {
  of: readonly { name: string; value: number }[];
  show: (value: number) => string;
  onChoose?: (name: string) => void;
}) {
  const { of, show, onChoose } = props;
  const most = Math.max(1, ...of.map((one) => one.value));
  return (
    <ul className="bars">
      {of.map(({ name, value }) => (
        <li key={name}>
          <span className="bar" style={{ width: `${(value / most) * 100}%` }} aria-hidden="true" />
          {onChoose ? (
            <button type="button" className="bar-name mono" onClick={() => onChoose(name)}>
              {name}
            </button>
          ) : (
            <span className="bar-name mono">{name}</span>
          )}
          <span className="bar-value">{show(value)}</span>
        </li>
      ))}
    </ul>
  );
}
