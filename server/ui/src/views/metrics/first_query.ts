// How one begins to look at a metric.

/** A first query for a metric: counters are of use as rates only. */
export function firstQuery(name: string, type: string | undefined): string {
  const plain = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name);
  const selector = plain ? name : `{${JSON.stringify(name)}}`;
  const counts = type === 'counter' || /_(total|bucket|count|sum)$/.test(name);
  return counts ? `rate(${selector}[5m])` : selector;
}
