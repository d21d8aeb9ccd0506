import { expect, it } from 'vitest';
import type { RuleGroup } from '../../api/prometheus';
import { joined } from './groups';

it('groups over metrics and over logs are told apart, also where names are the same', () => {
  const group = { name: 'g', file: 'f', rules: [] } as unknown as RuleGroup;
  expect(joined([group], [group]).map(({ name, over }) => [name, over])).toEqual([
    ['g', 'metrics'],
    ['g', 'logs'],
  ]);
  expect(joined(null, null)).toEqual([]);
});
