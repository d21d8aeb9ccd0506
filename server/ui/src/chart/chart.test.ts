import { expect, it } from 'vitest';
import { seriesName } from '../kit/labels';
import { csvLine } from '../kit/save';
import { heat } from './heat';
import { gridTimes, onGrid, stacked, summary } from './series';
import { axisNumbers, bytes, count, sampleValue, shortNumber } from './values';

it('numbers are short, and special ones are named', () => {
  expect(shortNumber(1_250_000)).toBe('1.25M');
  expect(shortNumber(0.000012)).toBe('1.20e-5');
  expect(shortNumber(Number.NaN)).toBe('NaN');
  expect(shortNumber(Number.NEGATIVE_INFINITY)).toBe('-Inf');
  expect(axisNumbers([0, 200, 400, 1200])).toEqual(['0', '0.2k', '0.4k', '1.2k']);
  expect(axisNumbers([0.5, 1, 1.5])).toEqual(['0.5', '1.0', '1.5']);
  expect(bytes(1536)).toBe('1.5 KiB');
  expect(count(1234567)).toBe('1\u202f234\u202f567');
  expect(sampleValue('+Inf')).toBe(Number.POSITIVE_INFINITY);
});

it('samples lie on the grid of the query, and what is missing is a gap', () => {
  const asked = { start: 100, end: 130, step: 10 };
  const times = gridTimes(asked);
  expect(times).toEqual([100, 110, 120, 130]);
  const series = {
    metric: {},
    values: [
      [100, '1'],
      [120, 'NaN'],
      [130, '3'],
    ] as [number, string][],
  };
  expect(onGrid(series, asked, times.length)).toEqual([1, null, Number.NaN, 3]);
  expect(
    onGrid(
      {
        metric: {},
        values: [
          [90, '1'],
          [140, '1'],
        ],
      },
      asked,
      4,
    ),
  ).toEqual([null, null, null, null]);
  expect(gridTimes({ start: 0, end: 0.3, step: 0.1 })).toEqual([0, 0.1, 0.2, 0.3]);
});

it('a summary passes gaps and NaN over', () => {
  expect(summary([1, null, Number.NaN, 3])).toEqual({ last: 3, min: 1, max: 3, mean: 2 });
  expect(summary([null])).toEqual({ last: null, min: null, max: null, mean: null });
});

it('stacked series leave the hidden ones out', () => {
  const series = [{ values: [1, 2] }, { values: [10, null] }, { values: [100, 200] }];
  expect(stacked(series, new Set([1]))).toEqual([
    [1, 2],
    [10, null],
    [101, 202],
  ]);
  expect(stacked(series, new Set())).toEqual([
    [1, 2],
    [11, null],
    [111, 202],
  ]);
});

it('buckets become cells, and that around zero lies below the others', () => {
  const found = heat([
    [
      60,
      {
        count: '3',
        sum: '1',
        buckets: [
          [3, '-0.001', '0.001', '1'],
          [0, '0.5', '1', '2'],
        ],
      },
    ],
    [120, { count: '0', sum: '0', buckets: [[0, '0.5', '1', '0']] }],
  ]);
  expect(found?.cells).toHaveLength(2);
  expect(found).toMatchObject({ low: 0.25, high: 1, most: 2, log: true });
  expect(found?.cells[0]).toMatchObject({ low: -0.001, bottom: 0.25, top: 0.5 });
  expect(heat([])).toBeUndefined();
});

it('series are named as selectors, and cells are quoted', () => {
  expect(seriesName({ __name__: 'up', job: 'a"b' })).toBe('up{job="a\\"b"}');
  expect(seriesName({ 'a.b': 'c' })).toBe('{"a.b"="c"}');
  expect(seriesName({}, 'sum(up)')).toBe('sum(up)');
  expect(csvLine(['a,b', 'say "x"', 3])).toBe('"a,b","say ""x""",3\r\n');
});
