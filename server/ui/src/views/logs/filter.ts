// Conditions that a click adds to a query.

import { useQuery } from '@tanstack/react-query';
import { logLabels } from '../../api/loki';
import { broadSelector, withField, withMatcher, withNeedle } from '../../logql/query';
import type { Interval } from '../../time/range';
import type { Field, OnFilter } from './details';

/** A query with one more condition. */
export function filtered(query: string, ...[field, side]: Parameters<OnFilter>): string {
  const { name, value, kind } = field;
  if (kind === 'label') return withMatcher(query, name, value, side);
  return withField(query, name, value, side, kind === 'field' ? undefined : kind);
}

/** A selector of all streams, as far as labels tell. */
export function useBroadSelector(interval: Interval): string {
  const labels = useQuery({
    queryKey: ['log labels'],
    queryFn: ({ signal }) => logLabels(interval.start, interval.end, { signal }),
    retry: false,
  });
  return broadSelector(labels.data?.data ?? []);
}

/** The query of all lines with an id: beside the line it is compared, in the line searched for. */
export function withId(selector: string, { name, value, kind }: Field): string {
  return kind === 'field' ? withField(selector, name, value, 'in') : withNeedle(selector, value);
}
