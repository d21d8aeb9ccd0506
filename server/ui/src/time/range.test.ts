import { describe, expect, it } from 'vitest';
import {
  absolute,
  autoStep,
  formatDuration,
  parseDuration,
  parseTime,
  rangeProblem,
  resolve,
  shifted,
  stepSeconds,
  zoomed,
} from './range';

const now = Date.parse('2026-11-26T12:00:00Z');
const hour = 3_600_000;

describe('durations', () => {
  it('are read as PromQL writes them, and written back', () => {
    for (const [text, ms] of [
      ['15s', 15_000],
      ['1h30m', 90 * 60_000],
      ['250ms', 250],
      ['2d', 2 * 24 * hour],
    ] as const) {
      expect(parseDuration(text)).toBe(ms);
      expect(formatDuration(ms)).toBe(text);
    }
  });
  it('are refused where they are none', () => {
    for (const text of ['', '5', 'm', '5 m', '-5m', '0s', '1h?', `${'9'.repeat(30)}y`]) {
      expect(parseDuration(text), text).toBeUndefined();
    }
  });
});

describe('times', () => {
  it('are relative, numbers, or dates', () => {
    expect(parseTime('now', now)).toBe(now);
    expect(parseTime('now-90m', now)).toBe(now - 1.5 * hour);
    expect(parseTime('now + 1h', now)).toBe(now + hour);
    expect(parseTime('1795694400', now)).toBe(1_795_694_400_000);
    expect(parseTime('1795694400.5', now)).toBe(1_795_694_400_500);
    expect(parseTime('1795694400000', now)).toBe(1_795_694_400_000);
    expect(parseTime('2026-11-26T11:00:00Z', now)).toBe(now - hour);
    for (const text of ['', 'yesterday', 'now-', 'now-5', '2026-99-99']) {
      expect(parseTime(text, now), text).toBeUndefined();
    }
  });
  it('the wrong way round give the last hour, and a problem', () => {
    const wrong = { from: 'now', to: 'now-1h' };
    expect(resolve(wrong, now)).toEqual({ start: now - hour, end: now });
    expect(rangeProblem(wrong, now)).toContain('before it begins');
    expect(rangeProblem({ from: 'x', to: 'now' }, now)).toContain('“x”');
    expect(rangeProblem({ from: 'now-1h', to: 'now' }, now)).toBeUndefined();
  });
});

describe('moving', () => {
  it('by half a range keeps its length', () => {
    const moved = resolve(shifted({ from: 'now-1h', to: 'now' }, -0.5, now), now);
    expect(moved).toEqual({ start: now - 1.5 * hour, end: now - 0.5 * hour });
  });
  it('out from now stays relative, and from elsewhere does not pass now', () => {
    expect(zoomed({ from: 'now-1h', to: 'now' }, 2, now)).toEqual({ from: 'now-2h', to: 'now' });
    const past = absolute(now - hour, now - 60_000);
    expect(resolve(zoomed(past, 4, now), now).end).toBe(now);
  });
  it('to a range within a second gives a whole one', () => {
    const { start, end } = resolve(absolute(now + 100, now + 200), now);
    expect(end - start).toBe(1000);
  });
});

describe('steps', () => {
  it('fit the range', () => {
    expect(autoStep({ start: now - hour, end: now }, 300)).toBe(15);
    expect(autoStep({ start: now - 400 * 24 * hour, end: now }, 300)).toBe(172_800);
  });
  it('that are asked for are kept, unless the server would refuse them', () => {
    const interval = { start: now - hour, end: now };
    expect(stepSeconds('1m', interval, 300)).toBe(60);
    expect(stepSeconds('7', interval, 300)).toBe(7);
    expect(stepSeconds('nonsense', interval, 300)).toBe(15);
    expect(stepSeconds('1ms', { start: 0, end: 24 * hour }, 300)).toBeGreaterThan(7.8);
  });
});
