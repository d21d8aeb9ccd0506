import { describe, expect, it } from 'vitest';
import { categorized, compareNanos, entriesOf, levelName, levelOf } from '../api/loki';
import { problemOf } from '../editor/problem';
import { lineFields } from './fields';
import {
  broadSelector,
  isMetricQuery,
  needleRegex,
  needles,
  selectorOf,
  streamSelector,
  withField,
  withMatcher,
  withNeedle,
} from './query';

describe('a query', () => {
  it('gives lines or samples', () => {
    expect(isMetricQuery('{a="b"} | json | status >= 500')).toBe(false);
    expect(isMetricQuery('sum by (app) (rate({a="b"} |= "x" [5m]))')).toBe(true);
    expect(isMetricQuery('')).toBe(false);
  });
  it('looks for needles, not for what lines must not have', () => {
    const query = '{a="b"} |= "one\\"" != "two" |~ `th(re+)` |= "four" or "five" |= ip("10.0.0.1")';
    expect(needles(query)).toEqual([
      { text: 'one"', regex: false },
      { text: 'th(re+)', regex: true },
      { text: 'four', regex: false },
      { text: 'five', regex: false },
    ]);
    expect(needleRegex(needles(query))?.source).toBe('one"|(?:th(re+))|four|five');
    expect(needleRegex(needles('{a="b"} |~ "(?i)Error"'))?.flags).toBe('gi');
    expect(needleRegex(needles('{a="b"} |~ "(?P<x>bad"'))).toBeUndefined();
    expect(needleRegex([])).toBeUndefined();
  });
  it('is narrowed by labels within its selector', () => {
    expect(selectorOf('sum(rate({a="b"}[1m]))')).toBe('{a="b"}');
    expect(withMatcher('{a="b"} |= "}"', 'c', 'd', 'in')).toBe('{a="b", c="d"} |= "}"');
    expect(withMatcher('{a="b",}', 'c', 'd', 'out')).toBe('{a="b", c!="d"}');
    expect(withMatcher('{a="b"}', 'a', 'b', 'in')).toBe('{a="b"}');
  });
  it('is narrowed by fields behind its stages, parsed once', () => {
    expect(withField('{a="b"}', 'status', '500', 'in', 'json')).toBe(
      '{a="b"} | json | status="500"',
    );
    expect(withField('{a="b"} | json', 'x', '"', 'out', 'json')).toBe('{a="b"} | json | x!="\\""');
    expect(withField('{a="b"}', 'trace_id', 'f', 'in')).toBe('{a="b"} | trace_id="f"');
    expect(withNeedle('{a="b"} ', 'x')).toBe('{a="b"} |= "x"');
  });
  it('names one stream, or as many as can be', () => {
    expect(streamSelector({ a: 'b', c: 'd"' })).toBe('{a="b", c="d\\""}');
    expect(broadSelector(['zone', 'job'])).toBe('{job=~".+"}');
    expect(broadSelector(['zone'])).toBe('{zone=~".+"}');
    expect(broadSelector([])).toBe('{service_name=~".+"}');
  });
});

describe('a line', () => {
  it('of JSON has fields as the stage names them', () => {
    expect(lineFields('{"a":{"b.c":1},"d":[1],"e":null}')).toEqual({
      kind: 'json',
      fields: [
        ['a_b_c', '1'],
        ['e', ''],
      ],
    });
  });
  it('of logfmt has pairs, and prose has none', () => {
    expect(lineFields('level=warn msg="slow \\"query\\"" took=3s')?.fields).toEqual([
      ['level', 'warn'],
      ['msg', 'slow "query"'],
      ['took', '3s'],
    ]);
    expect(lineFields('nothing of the kind = here')).toBeUndefined();
    expect(lineFields('{"broken":')).toBeUndefined();
  });
});

describe('entries', () => {
  it('of all streams are in order of their nanoseconds', () => {
    const streams = [
      {
        stream: { a: '1' },
        values: [
          ['1700000000000000002', 'y'],
          ['999', 'x'],
        ] as [string, string][],
      },
      { stream: { a: '2' }, values: [['1700000000000000001', 'z']] as [string, string][] },
    ];
    expect(entriesOf(streams, 'backward').map((one) => one.line)).toEqual(['y', 'z', 'x']);
    expect(entriesOf(streams, 'forward').map((one) => one.line)).toEqual(['x', 'z', 'y']);
    expect(compareNanos('9', '10')).toBeLessThan(0);
  });
  it('of a tail have labels and metadata in one, and are told apart', () => {
    const [one] = entriesOf(
      [{ stream: { a: '1', detected_level: 'error' }, values: [['1', 'x']] }],
      'forward',
    );
    const apart = one && categorized(one, new Set(['a']));
    expect(apart).toMatchObject({ labels: { a: '1' }, metadata: { detected_level: 'error' } });
    expect(apart && levelOf(apart)).toBe('error');
  });
  it('have one name for each severity', () => {
    expect(levelName('WARNING')).toBe('warn');
    expect(levelName('fatal')).toBe('critical');
    expect(levelName('')).toBe('unknown');
  });
});

it('parsers tell where a query is wrong', () => {
  expect(problemOf('invalid parameter "query": 1:5: parse error: x')).toMatchObject({
    line: 1,
    column: 5,
  });
  expect(problemOf('parse error at line 2, col 7: syntax error')).toMatchObject({
    line: 2,
    column: 7,
  });
  expect(problemOf('timeout')).toEqual({ message: 'timeout' });
});
