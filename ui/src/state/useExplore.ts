/** Runs Explore's queries: all visible rows at once, the old answers kept until the new ones are here. */
import { useCallback, useEffect, useRef, useState } from 'react';
import { asApiError, type ApiError } from '../api/http';
import { query, queryRange, type Answer, type QueryData } from '../api/prometheus';
import type { Grid } from '../viz/frame';
import type { ExploreState } from './exploreUrl';
import { alignToStep, autoStep, resolveRange } from './timeRange';

export interface RowAnswer {
  expr: string;
  range?: Answer<QueryData>;
  instant?: Answer<QueryData>;
  error?: ApiError;
}
export interface Run {
  /** By row; undefined for hidden and empty rows. */
  rows: (RowAnswer | undefined)[];
  grid: Grid;
  /** Milliseconds. */
  from: number;
  to: number;
}

async function runRow(expr: string, state: ExploreState, at: Omit<Run, 'rows'>, before: RowAnswer | undefined, signal: AbortSignal): Promise<RowAnswer> {
  try {
    const [range, instant] = await Promise.all([
      state.view === 'table' ? undefined : queryRange(expr, at.grid, signal),
      query(expr, at.to / 1000, signal),
    ]);
    return { expr, instant, ...(range && { range }) };
  } catch (error) {
    if (signal.aborted) throw error;
    const failure = asApiError(error);
    // A server that is away for a moment should not empty the screen.
    const kept = failure.kind === 'network' && before?.expr === expr ? before : { expr };
    return { ...kept, error: failure };
  }
}

export interface Exploration {
  run: Run | undefined;
  loading: boolean;
  /** Gives up the queries under way; what is on the screen stays. */
  cancel: () => void;
}

/** `round` counts the presses of Run and the ticks of auto refresh: a new one asks again for the same state. */
export function useExplore(state: ExploreState, round: number): Exploration {
  const [run, setRun] = useState<Run>();
  const [loading, setLoading] = useState(false);
  const before = useRef<Run>(undefined);
  before.current = run;
  const current = useRef<AbortController>(undefined);
  const cancel = useCallback(() => {
    current.current?.abort();
    setLoading(false);
  }, []);

  useEffect(() => {
    const resolved = resolveRange(state.range, Date.now());
    if (!resolved || state.rows.every((row) => row.hidden || !row.expr.trim())) {
      setRun(undefined);
      return;
    }
    const abort = new AbortController();
    current.current = abort;
    const step = state.step ?? autoStep((resolved.to - resolved.from) / 1000);
    const at = { ...resolved, grid: alignToStep(resolved.from, resolved.to, step) };
    setLoading(true);
    const work = state.rows.map((row) => {
      const old = before.current?.rows.find((one) => one?.expr === row.expr);
      return row.hidden || !row.expr.trim() ? undefined : runRow(row.expr, state, at, old, abort.signal);
    });
    Promise.all(work)
      .then((rows) => setRun({ rows, ...at }))
      // Only a cancelled run rejects; its successor reports.
      .catch(() => undefined)
      .finally(() => {
        if (!abort.signal.aborted) setLoading(false);
      });
    return cancel;
  }, [state, round, cancel]);

  return { run, loading, cancel };
}
