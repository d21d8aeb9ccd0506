import { expect, it } from 'vitest';
import { fromPrometheus, metricsHref, readRange, withParams } from './state';

it('parameters are replaced, and empty ones go', () => {
  const now = new URLSearchParams('q=a&q=b&tab=graph');
  const next = withParams(now, { q: ['c', 'd'], tab: '', step: '15s' });
  expect(next.toString()).toBe('q=c&q=d&step=15s');
  expect(now.getAll('q')).toEqual(['a', 'b']);
});

it('a range that cannot be read is the last hour', () => {
  expect(readRange(new URLSearchParams('from=now-2h'))).toEqual({ from: 'now-2h', to: 'now' });
  expect(readRange(new URLSearchParams('from=bad&to=now'))).toEqual({ from: 'now-1h', to: 'now' });
  expect(readRange(new URLSearchParams(''))).toEqual({ from: 'now-1h', to: 'now' });
});

it('links of alerts are read', () => {
  const link = new URLSearchParams('g0.expr=up == 0&g0.tab=1');
  expect(fromPrometheus(link)?.toString()).toBe('q=up+%3D%3D+0&tab=table');
  expect(fromPrometheus(new URLSearchParams('q=up'))).toBeUndefined();
});

it('links of both of its pages keep range, end and step', () => {
  const old = new URLSearchParams(
    'g0.expr=a&g0.tab=0&g0.range_input=2h&g0.end_input=2026-11-26 12:00&g0.stacked=1&g0.step_input=30&g1.expr=b',
  );
  const own = fromPrometheus(old);
  expect(own?.getAll('q')).toEqual(['a', 'b']);
  expect(own?.get('tab')).toBe('graph');
  expect(own?.get('from')).toBe('2026-11-26T10:00:00.000Z');
  expect(own?.get('to')).toBe('2026-11-26T12:00:00.000Z');
  expect(own?.get('stack')).toBe('1');
  expect(own?.get('step')).toBe('30s');
  const today = new URLSearchParams('g0.expr=a&g0.tab=graph&g0.range_input=30m');
  expect(fromPrometheus(today)?.get('from')).toBe('now-30m');
});

it('addresses of views carry queries as they are', () => {
  expect(metricsHref(['a{b="c"} > 1'])).toBe('/query?q=a%7Bb%3D%22c%22%7D+%3E+1&tab=graph');
});
