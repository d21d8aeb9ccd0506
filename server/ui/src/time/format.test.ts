import { expect, it } from 'vitest';
import { ago, formatTime, readTime, span } from './format';

it('times are written and read in a zone', () => {
  const ms = Date.parse('2026-11-26T14:03:05.070Z');
  expect(formatTime(ms, 'utc')).toBe('2026-11-26 14:03:05');
  expect(formatTime(ms, 'utc', true)).toBe('2026-11-26 14:03:05.070');
  expect(readTime('2026-11-26 14:03:05', 'utc')).toBe(ms - 70);
  expect(readTime('2026-11-26', 'utc')).toBe(Date.parse('2026-11-26'));
  expect(readTime('26.11.2026', 'utc')).toBeUndefined();
  const local = formatTime(ms, 'local');
  expect(readTime(local, 'local')).toBe(ms - 70);
});

it('spans are short', () => {
  expect(span(0.2)).toBe('200 µs');
  expect(span(1.25)).toBe('1.3 ms');
  expect(span(45_000)).toBe('45 s');
  expect(span(3_725_000)).toBe('1h 2m');
  expect(ago(5000, 500)).toBe('in the future');
  expect(ago(0, 90_000)).toBe('1m 30s ago');
});
