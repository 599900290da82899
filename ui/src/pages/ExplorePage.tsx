/** Explore: PromQL queries as a graph and as tables. What it shows lives in the URL; the editors' text joins it on Run. */
import { lazy, Suspense, useEffect, useMemo, useRef, useState, type ReactNode } from 'react';
import { MetricBrowser } from '../panels/MetricBrowser';
import { Empty, Loading, Notice, PageHead, RefreshControl, Segments, type Choice } from '../panels/parts';
import { QueryRow } from '../panels/QueryRow';
import { RangePicker } from '../panels/RangePicker';
import { ResultTable } from '../panels/ResultTable';
import { formatDuration, parseDuration } from '../state/duration';
import { formatExplore, parseExplore, type ExploreState, type QueryRow as Row, type View } from '../state/exploreUrl';
import { navigate } from '../state/router';
import { absoluteRange, autoStep, resolveRange } from '../state/timeRange';
import { useExplore, type Run } from '../state/useExplore';
import { countText, plural } from '../viz/format';
import { buildFrame } from '../viz/frame';
import { Icon } from '../viz/icons';

const loadGraph = () => import('../panels/TimeSeriesPanel');
const TimeSeriesPanel = lazy(loadGraph);

/** Lines drawn before the reader asks for more: beyond this a graph is slow and tells little. */
const FIRST_SERIES = 100;
/** Lines drawn at most: each costs memory and time at every redraw. */
const MOST_SERIES = 2000;
const VIEWS: Choice<View>[] = [
  { value: 'graph', text: 'Graph' },
  { value: 'table', text: 'Table' },
  { value: 'both', text: 'Both' },
];

interface Draft extends Row {
  id: number;
}
let nextId = 1;
const drafted = (rows: Row[]): Draft[] => rows.map((row) => ({ ...row, id: nextId++ }));
const letterOf = (index: number): string => String.fromCharCode(65 + (index % 26)) + (index >= 26 ? String(Math.floor(index / 26)) : '');

export default function ExplorePage({ page, search }: { page: string; search: string }): ReactNode {
  const state = useMemo(() => parseExplore(search), [search]);
  const [drafts, setDrafts] = useState(() => drafted(state.rows));
  const [round, setRound] = useState(0);
  const [every, setEvery] = useState(0);
  const [browsing, setBrowsing] = useState(false);
  const { run, loading, cancel } = useExplore(state, round);
  const written = useRef(search);

  // The drawing code arrives while the first query is under way.
  useEffect(() => void loadGraph().catch(() => undefined), []);

  // Back, forward and pasted links replace what is in the editors.
  useEffect(() => {
    if (written.current === search) return;
    written.current = search;
    setDrafts(drafted(parseExplore(search).rows));
  }, [search]);

  useEffect(() => {
    if (every === 0) return;
    const timer = setInterval(() => document.visibilityState === 'visible' && setRound((now) => now + 1), every * 1000);
    return () => clearInterval(timer);
  }, [every]);

  const show = (change: Partial<ExploreState>, rows: Draft[] = drafts) => {
    setDrafts(rows);
    const next = formatExplore({ ...state, rows: rows.map(({ expr, hidden }) => ({ expr, hidden })), ...change });
    written.current = next;
    if (next === search) setRound((now) => now + 1);
    else navigate(`${page}${next}`);
  };
  const edit = (id: number, change: Partial<Row>) => drafts.map((row) => (row.id === id ? { ...row, ...change } : row));
  const pick = (expr: string) => {
    setBrowsing(false);
    const target = drafts.find((row) => !row.expr.trim());
    if (target) show({}, edit(target.id, { expr, hidden: false }));
    else show({}, [...drafts, { id: nextId++, expr, hidden: false }]);
  };
  const remove = (id: number) => {
    const rest = drafts.filter((row) => row.id !== id);
    show({}, rest.length > 0 ? rest : drafted([{ expr: '', hidden: false }]));
  };

  const start = state.rows.every((row) => !row.expr.trim());
  return (
    <>
      <PageHead title="Explore">
        <RangePicker range={state.range} onChange={(range) => show({ range })} />
        <RefreshControl every={every} onEvery={setEvery} onRefresh={() => setRound((now) => now + 1)} loading={loading} />
      </PageHead>
      <section className="card queries" aria-label="Queries">
        {drafts.map((row, index) => (
          <QueryRow
            key={row.id}
            letter={letterOf(index)}
            expr={row.expr}
            hidden={row.hidden}
            removable={drafts.length > 1}
            answer={run?.rows[index]?.expr === state.rows[index]?.expr ? run?.rows[index] : undefined}
            onChange={(expr) => setDrafts(edit(row.id, { expr }))}
            onRun={() => show({})}
            onHide={() => show({}, edit(row.id, { hidden: !row.hidden }))}
            onRemove={() => remove(row.id)}
          />
        ))}
        <div className="query-actions">
          <button type="button" className="button primary" onClick={() => show({})} title="Ctrl+Enter or Shift+Enter">
            <Icon name="play" size={16} /> Run
          </button>
          {loading && (
            <button type="button" className="button late" onClick={cancel}>
              <Icon name="close" size={16} /> Cancel
            </button>
          )}
          <button type="button" className="button" onClick={() => setDrafts([...drafts, { id: nextId++, expr: '', hidden: false }])}>
            <Icon name="plus" size={16} /> Add query
          </button>
          {!start && (
            <button type="button" className="button" aria-expanded={browsing} onClick={() => setBrowsing(!browsing)}>
              <Icon name="list" size={16} /> Metrics
            </button>
          )}
          <span className="spring" />
          <StepInput state={state} onStep={(step) => show({ step })} />
          {state.view !== 'table' && (
            <label className="check">
              <input type="checkbox" checked={state.stacked} onChange={(event) => show({ stacked: event.target.checked })} /> Stacked
            </label>
          )}
          <Segments label="View" choices={VIEWS} value={state.view} onChange={(view) => show({ view })} />
        </div>
      </section>
      {(start || browsing) && (
        <section className="card">
          <MetricBrowser onPick={pick} />
        </section>
      )}
      {run && <Results run={run} state={state} loading={loading} onZoom={(from, to) => show({ range: absoluteRange(from, to) })} onTable={() => show({ view: 'table' })} />}
      {!run && loading && (
        <section className="card">
          <Loading lines={8} />
        </section>
      )}
    </>
  );
}

/** The step as text; empty lets the range decide. Applied on Enter and on leaving the field. */
function StepInput({ state, onStep }: { state: ExploreState; onStep: (step: number | undefined) => void }): ReactNode {
  const current = state.step === undefined ? '' : formatDuration(state.step);
  const [text, setText] = useState(current);
  useEffect(() => setText(current), [current]);
  const parsed = parseDuration(text);
  const bad = text.trim() !== '' && !(parsed && parsed > 0);
  const resolved = resolveRange(state.range, Date.now());
  const auto = resolved ? formatDuration(autoStep((resolved.to - resolved.from) / 1000)) : '';
  const apply = () => {
    if (!bad && (parsed ?? 0) !== (state.step ?? 0)) onStep(parsed);
  };
  return (
    <label className="step">
      Step
      <input
        value={text}
        placeholder={`auto (${auto})`}
        aria-invalid={bad}
        title={bad ? 'A duration such as 15s, 1m or 1h30m' : 'Time between points; empty: chosen by the range'}
        spellCheck={false}
        onChange={(event) => setText(event.target.value)}
        onBlur={apply}
        onKeyDown={(event) => event.key === 'Enter' && apply()}
      />
    </label>
  );
}

interface ResultsProps {
  run: Run;
  state: ExploreState;
  loading: boolean;
  onZoom: (from: number, to: number) => void;
  onTable: () => void;
}

function Results({ run, state, loading, onZoom, onTable }: ResultsProps): ReactNode {
  const answered = run.rows.flatMap((row, index) => (row ? [{ row, letter: letterOf(index) }] : []));
  const tables = state.view === 'graph' ? [] : answered.filter(({ row }) => row.instant);
  const graphed = answered.some(({ row }) => row.range);
  return (
    <div className={loading ? 'refreshing' : undefined} aria-busy={loading}>
      {state.view !== 'table' && graphed && <Graph run={run} stacked={state.stacked} onZoom={onZoom} onTable={onTable} />}
      {tables.map(({ row, letter }) => (
        <section className="card" key={letter} aria-label={`Table of query ${letter}`}>
          {tables.length > 1 && (
            <h2 className="table-title">
              <span className="query-letter">{letter}</span> <code>{row.expr}</code>
            </h2>
          )}
          {row.instant && <ResultTable data={row.instant.data} />}
        </section>
      ))}
    </div>
  );
}

function Graph({ run, stacked, onZoom, onTable }: { run: Run; stacked: boolean; onZoom: (from: number, to: number) => void; onTable: () => void }): ReactNode {
  const [all, setAll] = useState(false);
  const frame = useMemo(() => {
    const answers = run.rows.flatMap((row, index) =>
      row?.range?.data.resultType === 'matrix' ? [{ row: letterOf(index), expr: row.expr, series: row.range.data.result, newest: row.instant?.data }] : [],
    );
    return buildFrame(answers, run.grid, run.to / 1000, all ? MOST_SERIES : FIRST_SERIES);
  }, [run, all]);
  const cut = frame.total - frame.columns.length;
  return (
    <section className="card" aria-label="Graph">
      {cut > 0 && (
        <Notice tone="info">
          Drawing the first {countText(frame.columns.length)} of {countText(frame.total)} series.{' '}
          {!all && (
            <button type="button" className="textual" onClick={() => setAll(true)}>
              {frame.total > MOST_SERIES ? `Draw ${countText(MOST_SERIES)}` : 'Draw all'}
            </button>
          )}{' '}
          <button type="button" className="textual" onClick={onTable}>
            Show all in the table
          </button>
        </Notice>
      )}
      {frame.oddSamples > 0 && <Notice tone="info">{plural(frame.oddSamples, 'value is', 'values are')} NaN or infinite and cannot be drawn; the table shows them.</Notice>}
      {frame.histograms > 0 && <Notice tone="info">{plural(frame.histograms, 'native histogram', 'native histograms')} cannot be drawn as a line: use histogram_quantile(), or the table.</Notice>}
      {frame.columns.length === 0 ? (
        frame.histograms === 0 && <Empty title="No data">No series matched in this range. Check the metric name and label values, or widen the range.</Empty>
      ) : (
        <Suspense fallback={<div className="graph-waiting" />}>
          <TimeSeriesPanel frame={frame} from={run.from} to={run.to} stacked={stacked} onZoom={onZoom} />
        </Suspense>
      )}
    </section>
  );
}
