// Labels of series, counted.

import type { Labels } from '../../api/prometheus';

export const quoted = (text: string) => JSON.stringify(text);

/** A label's name in a selector. */
export function nameIn(name: string): string {
  return /^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) ? name : quoted(name);
}

interface LabelUse {
  name: string;
  /** How many values it has. */
  value: number;
  /** The values with most series. */
  top: { name: string; value: number }[];
}

/** Counts values of labels over series, those with most values first. */
export function labelUses(series: readonly Labels[], limit: number): LabelUse[] {
  const labels = new Map<string, Map<string, number>>();
  for (const one of series) {
    for (const [name, value] of Object.entries(one)) {
      const values = labels.get(name) ?? new Map<string, number>();
      values.set(value, (values.get(value) ?? 0) + 1);
      labels.set(name, values);
    }
  }
  return [...labels]
    .map(([name, values]) => ({
      name,
      value: values.size,
      top: [...values]
        .map(([name, value]) => ({ name, value }))
        .sort((a, b) => b.value - a.value)
        .slice(0, limit),
    }))
    .sort((a, b) => b.value - a.value);
}

/** A selector with one more matcher. */
export function narrowed(selector: string, name: string, value: string): string {
  const inner = selector.trim().replace(/^\{/, '').replace(/\}$/, '').replace(/,\s*$/, '');
  const matcher = `${nameIn(name)}=${quoted(value)}`;
  return `{${inner}${inner.trim() ? ', ' : ''}${matcher}}`;
}
