/** Answers on a grid, and names and numbers as text. */
import { expect, test } from 'vitest';
import { numberText, seriesName } from './format';
import { buildFrame, lonelyPoints, stack, summarize } from './frame';

const GRID = { start: 100, end: 130, step: 10 };

test('samples fall on the grid, gaps stay gaps, what cannot be drawn is counted', () => {
  const series = [
    { metric: { __name__: 'a' }, values: [[100, '1'], [120, 'NaN'], [130, '4']] as [number, string][] },
    { metric: { __name__: 'b' }, values: [[110, '+Inf']] as [number, string][] },
    { metric: { __name__: 'h' }, histograms: [] },
  ];
  const frame = buildFrame([{ row: 'A', expr: 'a', series, newest: undefined }], GRID, 130, 10);
  expect(frame.times).toEqual([100000, 110000, 120000, 130000]);
  expect(frame.columns.map(({ values }) => values)).toEqual([
    [1, null, null, 4],
    [null, null, null, null],
  ]);
  expect([frame.oddSamples, frame.histograms, frame.total]).toEqual([2, 1, 2]);
});

test('the cap cuts columns, not the count', () => {
  const series = Array.from({ length: 5 }, (_, index) => ({ metric: { i: String(index) }, values: [[100, '1']] as [number, string][] }));
  const frame = buildFrame([{ row: 'A', expr: 'a', series, newest: undefined }, { row: 'B', expr: 'b', series, newest: undefined }], GRID, 130, 7);
  expect([frame.columns.length, frame.total]).toEqual([7, 10]);
  expect(new Set(frame.columns.map(({ key }) => key)).size).toBe(7);
});

test('the end of the range joins the grid, also for series that are younger than it', () => {
  const series = [{ metric: { i: '1' }, values: [[130, '3']] as [number, string][] }];
  const result = [{ metric: { i: '1' }, value: [137, '4'] as [number, string] }, { metric: { i: '2' }, value: [137, '5'] as [number, string] }];
  const frame = buildFrame([{ row: 'A', expr: 'x', series, newest: { resultType: 'vector', result } }], GRID, 137, 10);
  expect(frame.times.at(-1)).toBe(137000);
  expect(frame.columns.map(({ values }) => values)).toEqual([
    [null, null, null, 3, 4],
    [null, null, null, null, 5],
  ]);
  const scalar = buildFrame([{ row: 'A', expr: '1 + 1', series: [], newest: { resultType: 'scalar', result: [137, '2'] } }], GRID, 137, 10);
  expect(scalar.columns.map(({ name }) => name)).toEqual(['1 + 1']);
});

test('a fractional step meets its last moment', () => {
  expect(buildFrame([], { start: 0, end: 0.3, step: 0.1 }, 0.3, 1).times).toEqual([0, 100, 200, 300]);
});

test('stacking passes over gaps; lonely points are found; summaries skip gaps', () => {
  expect(stack([[1, null, 1], [2, 2, null], [4, 4, 4]])).toEqual([[1, null, 1], [3, 2, null], [7, 6, 5]]);
  expect(lonelyPoints([1, null, 2, null, 3, 4])).toEqual([0, 2]);
  expect(summarize([null, 4, 1, null])).toEqual({ last: 1, min: 1, max: 4, mean: 2.5 });
});

test('names are PromQL', () => {
  expect(seriesName({ __name__: 'up', job: 'a"b' })).toBe('up{job="a\\"b"}');
  expect(seriesName({ __name__: 'up' })).toBe('up');
  expect(seriesName({})).toBe('{}');
  expect(seriesName({ __name__: 'http.requests', 'status.code': '200' })).toBe('{"http.requests", "status.code"="200"}');
});

test('numbers stay short', () => {
  expect([0, 42, 123456, 0.1 + 0.2, 12345678, 1e-9, NaN, -Infinity, null].map(numberText)).toEqual(['0', '42', '123456', '0.3', '12.35 M', '1.000e-9', 'NaN', '-Inf', '–']);
});
