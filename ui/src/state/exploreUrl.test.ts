/** Links: those Prometheus writes are read, ours are read back. */
import { expect, test } from 'vitest';
import { exploreLink, formatExplore, parseExplore, type ExploreState } from './exploreUrl';

test('an alert generator\'s link opens as a table', () => {
  const state = parseExplore('?g0.expr=up+%3D%3D+0&g0.tab=1');
  expect(state.rows).toEqual([{ expr: 'up == 0', hidden: false }]);
  expect(state.view).toBe('table');
  expect(state.range).toEqual({ from: 'now-1h', to: 'now' });
});

test('a link of Prometheus with an end and a step keeps both', () => {
  const state = parseExplore('?g0.expr=rate(x%5B5m%5D)&g0.tab=0&g0.stacked=1&g0.range_input=2h&g0.end_input=2026-01-31%2010%3A00%3A00&g0.step_input=30&g1.expr=y&g1.tab=0');
  expect(state).toEqual({
    rows: [
      { expr: 'rate(x[5m])', hidden: false },
      { expr: 'y', hidden: false },
    ],
    view: 'graph',
    range: { from: '2026-01-31 08:00:00', to: '2026-01-31 10:00:00' },
    step: 30,
    stacked: true,
  });
});

test('nonsense falls back to the start state', () => {
  const state = parseExplore('?g0.range_input=soon&g0.end_input=later&g0.step_input=-1&from=x&to=y');
  expect(state.range).toEqual({ from: 'now-1h', to: 'now' });
  expect(state.step).toBeUndefined();
  expect(state.rows).toEqual([{ expr: '', hidden: false }]);
});

test.each<Partial<ExploreState>>([
  { range: { from: 'now-90m', to: 'now' } },
  { range: { from: 'now-5400s', to: 'now' }, step: 90 },
  { range: { from: 'now-1d/d', to: 'now-1d/d' } },
  { range: { from: '2026-01-31 08:00:00', to: '2026-01-31 08:00:07' }, view: 'both', stacked: true },
  { rows: [{ expr: 'a{b="c&d=é\n"}', hidden: false }, { expr: '', hidden: true }], view: 'table' },
])('what is written is read back: %j', (part) => {
  const state = { ...parseExplore('?g0.expr=up&g0.tab=0'), ...part };
  const again = parseExplore(formatExplore(state));
  // 90 minutes have two spellings; they are the same range.
  const same = (one: ExploreState) => JSON.stringify(one).replace('now-90m', 'now-5400s');
  expect(same(again)).toBe(same(state));
});

test('a rule links to its graph', () => {
  expect(exploreLink('up == 0')).toBe('explore?g0.expr=up+%3D%3D+0&g0.tab=graph&g0.range_input=1h');
});
