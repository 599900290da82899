/**
 * What Explore shows, as URL parameters. They are Prometheus's own (g0.expr, g0.tab, g0.range_input, g0.end_input, …), so links
 * made by alert generators and by Prometheus open here and ours open there. All rows share one time range: the first row's.
 */
import { formatDuration, parseDuration } from './duration';
import { absoluteRange, DEFAULT_RANGE, lastSeconds, parseMoment, relativeSeconds, resolveRange, utcText, type TimeRange } from './timeRange';

export type View = 'graph' | 'table' | 'both';
export interface QueryRow {
  expr: string;
  hidden: boolean;
}
export interface ExploreState {
  rows: QueryRow[];
  view: View;
  range: TimeRange;
  /** Seconds; undefined chooses one by the range. */
  step: number | undefined;
  stacked: boolean;
}

export const EMPTY: ExploreState = { rows: [{ expr: '', hidden: false }], view: 'graph', range: DEFAULT_RANGE, step: undefined, stacked: false };

function parseView(tab: string | null, hasQuery: boolean): View {
  if (tab === 'both') return 'both';
  if (tab === '0' || tab === 'graph') return 'graph';
  // Prometheus opens a link that names no tab as a table.
  return tab !== null || hasQuery ? 'table' : 'graph';
}

function parseRange(params: URLSearchParams): TimeRange {
  const from = params.get('from');
  const to = params.get('to');
  if (from && to && resolveRange({ from, to }, Date.now())) {
    const millis = /^\d{13}$/;
    return millis.test(from) && millis.test(to) ? absoluteRange(Number(from), Number(to)) : { from, to };
  }
  const seconds = parseDuration(params.get('g0.range_input') ?? '') || 3600;
  const end = parseMoment(params.get('g0.end_input') ?? params.get('g0.moment_input') ?? '', Date.now());
  return end === undefined ? lastSeconds(seconds) : absoluteRange(end - seconds * 1000, end);
}

export function parseExplore(search: string): ExploreState {
  const params = new URLSearchParams(search);
  const rows: QueryRow[] = [];
  for (let index = 0; params.has(`g${index}.expr`); index++) {
    rows.push({ expr: params.get(`g${index}.expr`) ?? '', hidden: params.get(`g${index}.hidden`) === '1' });
  }
  const step = parseDuration(params.get('g0.step_input') ?? '');
  return {
    rows: rows.length > 0 ? rows : [{ expr: '', hidden: false }],
    view: parseView(params.get('g0.tab'), rows.length > 0),
    range: parseRange(params),
    step: step && step > 0 ? step : undefined,
    stacked: params.get('g0.stacked') === '1' || params.get('g0.display_mode') === 'stacked',
  };
}

export function formatExplore(state: ExploreState): string {
  const params = new URLSearchParams();
  const relative = relativeSeconds(state.range);
  const resolved = resolveRange(state.range, Date.now());
  // Prometheus only knows a length and an end; "now-1d/d" and the like travel as from and to beside them.
  const absolute = !state.range.from.includes('now') && !state.range.to.includes('now');
  if (relative === undefined && !absolute) {
    params.set('from', state.range.from);
    params.set('to', state.range.to);
  }
  state.rows.forEach((row, index) => {
    const set = (name: string, value: string) => params.set(`g${index}.${name}`, value);
    set('expr', row.expr);
    set('tab', state.view);
    if (relative !== undefined) set('range_input', formatDuration(relative));
    else if (resolved) {
      set('range_input', formatDuration(Math.round((resolved.to - resolved.from) / 1000)));
      set('end_input', utcText(resolved.to));
    }
    if (state.step !== undefined) set('step_input', formatDuration(state.step));
    if (state.stacked) set('stacked', '1');
    if (row.hidden) set('hidden', '1');
  });
  return `?${params}`;
}

/** The link that shows one expression as a graph over the last hour. */
export function exploreLink(expr: string, view: View = 'graph'): string {
  return `explore${formatExplore({ ...EMPTY, rows: [{ expr, hidden: false }], view })}`;
}
