// Groups of rules over metrics, and of those over logs: two calls, shown as one list.

import type { UseQueryResult } from '@tanstack/react-query';
import type { Answer, Params } from '../../api/http';
import type { RuleGroup } from '../../api/prometheus';
import { useCall } from '../../kit/page';

export type Over = 'metrics' | 'logs';
export type GroupOver = RuleGroup & { over: Over };

type Groups = UseQueryResult<Answer<{ groups: RuleGroup[] | null }>>;

/** Both kinds with the calls they came by. */
export interface AllGroups {
  metrics: Groups;
  logs: Groups;
}

export function useRuleGroups(params: Params = {}): AllGroups {
  return {
    metrics: useCall('api/v1/rules', params, 10_000),
    logs: useCall('prometheus/api/v1/rules', params, 10_000),
  };
}

/** Puts groups over metrics before those over logs. */
export function joined(metrics: RuleGroup[] | null, logs: RuleGroup[] | null): GroupOver[] {
  return [
    ...(metrics ?? []).map((group) => ({ ...group, over: 'metrics' as const })),
    ...(logs ?? []).map((group) => ({ ...group, over: 'logs' as const })),
  ];
}
