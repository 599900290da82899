/** Moments, ranges, durations and steps. */
import { expect, test } from 'vitest';
import { formatDuration, parseDuration, readableDuration } from './duration';
import { alignToStep, autoStep, parseMoment, resolveRange, utcText } from './timeRange';

// A Wednesday.
const NOW = Date.parse('2026-01-28T15:04:05.678Z');
const at = (text: string, end = false) => {
  const moment = parseMoment(text, NOW, end);
  return moment === undefined ? undefined : new Date(moment).toISOString();
};

test.each([
  ['now', '2026-01-28T15:04:05.678Z'],
  ['now-1h', '2026-01-28T14:04:05.678Z'],
  ['now-1d+2h', '2026-01-27T17:04:05.678Z'],
  ['now-1M', '2025-12-28T15:04:05.678Z'],
  ['now/d', '2026-01-28T00:00:00.000Z'],
  ['now/w', '2026-01-26T00:00:00.000Z'],
  ['now-1y/y', '2025-01-01T00:00:00.000Z'],
  ['2026-01-02', '2026-01-02T00:00:00.000Z'],
  ['2026-01-02 03:04', '2026-01-02T03:04:00.000Z'],
  ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05.000Z'],
  ['1769612645', '2026-01-28T15:04:05.000Z'],
  ['tomorrow', undefined],
  ['2026-13-01', undefined],
  ['now-1q', undefined],
])('%s', (text, expected) => expect(at(text)).toBe(expected));

test('a rounded end closes its unit', () => {
  expect(at('now-1d/d', true)).toBe('2026-01-27T23:59:59.999Z');
  expect(at('now/M', true)).toBe('2026-01-31T23:59:59.999Z');
});

test('a range must run forwards', () => {
  expect(resolveRange({ from: 'now', to: 'now-1h' }, NOW)).toBeUndefined();
  expect(resolveRange({ from: 'now-1h', to: 'now' }, NOW)).toEqual({ from: NOW - 3600_000, to: NOW });
});

test.each([
  ['1h30m', 5400],
  ['15', 15],
  ['250ms', 0.25],
  ['1w', 604800],
  ['1y', 31536000],
])('duration %s', (text, seconds) => expect(parseDuration(text)).toBeCloseTo(seconds, 9));

test.each(['', 'm', '1m1h', '1 h', '-5m', '1h m'])('no duration: "%s"', (text) => expect(parseDuration(text)).toBeUndefined());

test('durations are written exactly and read easily', () => {
  expect([0, 0.25, 90, 86400, 604800, 694800].map(formatDuration)).toEqual(['0s', '250ms', '1m30s', '1d', '1w', '8d1h']);
  expect([0, 0.0003, 0.0052, 0.12, 1.25, 75, 93784].map(readableDuration)).toEqual(['0s', '300µs', '5.2ms', '120ms', '1.3s', '1m 15s', '1d 2h']);
});

test('steps are readable and the grid stays put between refreshes', () => {
  expect([60, 3600, 86400, 30 * 86400].map(autoStep)).toEqual([1, 15, 300, 10800]);
  const grid = alignToStep(NOW - 3600_000, NOW, 15);
  expect([utcText(grid.start * 1000), utcText(grid.end * 1000)]).toEqual(['2026-01-28 14:04:00', '2026-01-28 15:04:00']);
  expect(alignToStep(NOW - 3600_000 + 3000, NOW + 3000, 15)).toEqual(grid);
});
