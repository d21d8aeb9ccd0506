// How long a query may take, as the server's flags have it.

import type { Labels } from '../../api/prometheus';
import { useCall } from '../../kit/page';
import { parseDuration } from '../../time/range';

export function useQueryLimit(): number | undefined {
  const flags = useCall<Labels>('api/v1/status/flags', {}, false);
  return parseDuration(flags.data?.data['query.timeout'] ?? '');
}
