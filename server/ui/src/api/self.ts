// What the server says of itself, whether it is scraped or not.

import type { UseQueryResult } from '@tanstack/react-query';
import { useCall } from '../kit/page';
import type { Answer } from './http';

interface Family {
  name: string;
  metric?: {
    label?: { name: string; value: string }[];
    gauge?: { value?: number | string };
    counter?: { value?: number | string };
  }[];
}

export type SelfMetrics = Family[];

export function useSelf(): UseQueryResult<Answer<SelfMetrics>> {
  return useCall<SelfMetrics>('api/v1/status/self_metrics', {}, 10_000);
}

/** The sum of a family's values, of those with a label's value only where one is given. */
export function selfValue(
  families: SelfMetrics | undefined,
  name: string,
  label?: readonly [string, string],
): number | undefined {
  const metrics = families?.find((family) => family.name === name)?.metric;
  if (!metrics) return undefined;
  let sum = 0;
  for (const { label: labels, gauge, counter } of metrics) {
    const wanted = !label || labels?.some((one) => one.name === label[0] && one.value === label[1]);
    if (wanted) sum += Number(gauge?.value ?? counter?.value ?? 0);
  }
  return sum;
}
