/** One query of Explore: its letter, the editor, what the server said about it, and hide and remove. */
import { lazy, Suspense, type ReactNode } from 'react';
import type { RowAnswer } from '../state/useExplore';
import { plural } from '../viz/format';
import { IconButton, Notice } from './parts';

const PromqlEditor = lazy(() => import('../editors/PromqlEditor'));

interface Props {
  letter: string;
  expr: string;
  hidden: boolean;
  /** False when this is the only row. */
  removable: boolean;
  answer: RowAnswer | undefined;
  onChange: (expr: string) => void;
  onRun: () => void;
  onHide: () => void;
  onRemove: () => void;
}

function seriesCount({ range, instant }: RowAnswer): number | undefined {
  const counts = [range?.data, instant?.data].flatMap((data) => {
    if (!data) return [];
    return data.resultType === 'vector' || data.resultType === 'matrix' ? data.result.length : 1;
  });
  // A series that just began is only in the instant answer, one that ended only in the range's.
  return counts.length > 0 ? Math.max(...counts) : undefined;
}

export function QueryRow({ letter, expr, hidden, removable, answer, onChange, onRun, onHide, onRemove }: Props): ReactNode {
  const count = answer && seriesCount(answer);
  const ms = Math.max(answer?.range?.ms ?? 0, answer?.instant?.ms ?? 0);
  const distinct = (lists: (string[] | undefined)[]) => [...new Set(lists.flatMap((list) => list ?? []))];
  const warnings = distinct([answer?.range?.warnings, answer?.instant?.warnings]);
  const infos = distinct([answer?.range?.infos, answer?.instant?.infos]);
  return (
    <div className={hidden ? 'query off' : 'query'} data-testid="query">
      <div className="query-line">
        <span className="query-letter" aria-hidden="true">
          {letter}
        </span>
        <Suspense fallback={<div className="promql waiting">{expr}</div>}>
          <PromqlEditor value={expr} label={`Query ${letter}`} error={answer?.error?.message} onChange={onChange} onRun={onRun} />
        </Suspense>
        <div className="query-tools">
          <IconButton icon={hidden ? 'eyeOff' : 'eye'} label={hidden ? `Show query ${letter}` : `Hide query ${letter}`} pressed={hidden} onClick={onHide} />
          <IconButton icon="close" label={removable ? `Remove query ${letter}` : `Clear query ${letter}`} disabled={!removable && !expr} onClick={onRemove} />
        </div>
      </div>
      {answer?.error && (
        <Notice tone="bad">
          <code>{answer.error.kind}</code> {answer.error.message}
        </Notice>
      )}
      {warnings.map((text) => (
        <Notice tone="warn" key={text}>
          {text}
        </Notice>
      ))}
      {infos.map((text) => (
        <Notice tone="info" key={text}>
          {text}
        </Notice>
      ))}
      {count !== undefined && !answer?.error && !hidden && (
        <p className="query-stats muted">
          {plural(count, 'series', 'series')} · {Math.round(ms)} ms
        </p>
      )}
    </div>
  );
}
