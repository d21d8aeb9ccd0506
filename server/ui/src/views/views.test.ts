import { expect, it } from 'vitest';
import type { Target } from '../api/prometheus';
import { labelUses, narrowed } from './cardinality/labels';
import { ruleText } from './discovery/rule_text';
import { firstQuery } from './metrics/first_query';
import { matches } from './targets/matches';

it('labels are counted by values, and values by series', () => {
  const uses = labelUses([{ a: '1', b: 'x' }, { a: '2', b: 'x' }, { a: '2' }], 1);
  expect(uses).toEqual([
    { name: 'a', value: 2, top: [{ name: '2', value: 2 }] },
    { name: 'b', value: 1, top: [{ name: 'x', value: 2 }] },
  ]);
});

it('a selector is narrowed by one more label', () => {
  expect(narrowed('{__name__="up"}', 'job', 'a"')).toBe('{__name__="up", job="a\\""}');
  expect(narrowed('{}', 'a.b', 'c')).toBe('{"a.b"="c"}');
});

it('counters are shown as rates at first', () => {
  expect(firstQuery('http_requests_total', undefined)).toBe('rate(http_requests_total[5m])');
  expect(firstQuery('up', 'gauge')).toBe('up');
  expect(firstQuery('a.b', 'counter')).toBe('rate({"a.b"}[5m])');
});

it('rules are written on one line without what is the default', () => {
  const rule = {
    action: 'replace',
    regex: '(.*)',
    replacement: '$1',
    source_labels: ['a', 'b'],
    target_label: 'c',
  };
  expect(ruleText(rule)).toBe('replace [a, b] → c');
  expect(ruleText({ action: 'drop', regex: 'no', source_labels: ['x'] })).toBe('drop [x] =~ no');
});

it('a target matches where all words are somewhere in it', () => {
  const target = {
    scrapePool: 'node',
    scrapeUrl: 'http://h:1/metrics',
    lastError: 'connection refused',
    labels: { job: 'node', dc: 'west' },
  } as unknown as Target;
  expect(matches(target, ['REFUSED', 'dc="west"'])).toBe(true);
  expect(matches(target, ['east'])).toBe(false);
});
