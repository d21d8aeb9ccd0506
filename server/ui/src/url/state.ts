// What a view shows is in its address, so that the address can be shared.

import { useCallback, useMemo } from 'react';
import { defaultRange, parseDuration, parseTime, type TimeRange } from '../time/range';
import { useSearch } from './router';

/** Replaces some parameters; those that are undefined or empty go away. */
export function withParams(
  params: URLSearchParams,
  changes: Record<string, string | readonly string[] | undefined>,
): URLSearchParams {
  const next = new URLSearchParams(params);
  for (const [name, value] of Object.entries(changes)) {
    next.delete(name);
    const values = value === undefined ? [] : typeof value === 'string' ? [value] : value;
    if (values.every((one) => one === '')) continue;
    for (const one of values) next.append(name, one);
  }
  return next;
}

export type Change = (
  changes: Record<string, string | readonly string[] | undefined>,
  how?: 'push' | 'replace',
) => void;

/** The parameters of the address, and how to change some. */
export function useParams(): [URLSearchParams, Change] {
  const [params, setParams] = useSearch();
  const change = useCallback<Change>(
    (changes, how = 'push') => {
      setParams((now) => withParams(now, changes), how);
    },
    [setParams],
  );
  return [params, change];
}

export function readRange(params: URLSearchParams): TimeRange {
  const from = params.get('from');
  const to = params.get('to');
  const now = Date.now();
  if (!from || parseTime(from, now) === undefined) return defaultRange;
  return { from, to: to && parseTime(to, now) !== undefined ? to : 'now' };
}

/** The time range of the address, and how to change it. */
export function useRange(): [TimeRange, (range: TimeRange) => void] {
  const [params, change] = useParams();
  const range = useMemo(() => readRange(params), [params]);
  const setRange = useCallback((range: TimeRange) => change({ ...range }), [change]);
  return [range, setRange];
}

/** Reads the parameters of links to Prometheus' page for queries, as alerts have them. */
export function fromPrometheus(params: URLSearchParams): URLSearchParams | undefined {
  const indexes = [...params.keys()]
    .map((name) => /^g(\d+)\.expr$/.exec(name)?.[1])
    .filter((index) => index !== undefined);
  if (indexes.length === 0) return undefined;
  const own = new URLSearchParams();
  for (const index of indexes) {
    const expr = params.get(`g${index}.expr`);
    if (expr) own.append('q', expr);
  }
  const first = indexes[0];
  const tab = params.get(`g${first}.tab`);
  // The old page has 0 for the graph and 1 for the table, and shows the table unless told.
  own.set('tab', tab === '0' || tab === 'graph' ? 'graph' : 'table');
  const length = parseDuration(params.get(`g${first}.range_input`) ?? '');
  const end = params.get(`g${first}.end_input`) ?? params.get(`g${first}.moment_input`);
  const end_ms = end ? Date.parse(`${end.replace(' ', 'T')}Z`) : Number.NaN;
  if (!Number.isNaN(end_ms)) {
    own.set('from', new Date(end_ms - (length ?? 3_600_000)).toISOString());
    own.set('to', new Date(end_ms).toISOString());
  } else if (length !== undefined) {
    own.set('from', `now-${params.get(`g${first}.range_input`)}`);
    own.set('to', 'now');
  }
  if (params.get(`g${first}.display_mode`) === 'stacked' || params.get(`g${first}.stacked`) === '1')
    own.set('stack', '1');
  const step = params.get(`g${first}.step_input`);
  if (step && /^\d+$/.test(step)) own.set('step', `${step}s`);
  return own;
}

/** Writes the address of the view of metrics with some queries. */
export function metricsHref(queries: readonly string[], range?: TimeRange, tab = 'graph'): string {
  const params = withParams(new URLSearchParams(), { q: queries, tab, ...range });
  return `/query?${params}`;
}

/** Writes the address of the view of logs with a query. */
export function logsHref(query: string, range?: TimeRange): string {
  return `/logs?${withParams(new URLSearchParams(), { q: query, ...range })}`;
}
