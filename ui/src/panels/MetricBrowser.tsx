/** The start of an exploration: example queries for the metrics that exist, and all metrics with type, help and search. */
import { useCallback, useMemo, useState, type ReactNode } from 'react';
import { metadata, metricNames, type Metadata } from '../api/prometheus';
import { usePolled } from '../state/usePolled';
import { countText } from '../viz/format';
import { examplesFor, firstQuery, metadataOf } from './examples';
import { Badge, Empty, ErrorNotice, Loading, SearchBox } from './parts';

/** Lines shown at once; a search narrows further. */
const MOST = 200;

async function loadMetrics(signal: AbortSignal): Promise<{ names: string[]; about: Record<string, Metadata[]> }> {
  // The list is useful without the help texts, so their failure is not an error.
  const [names, about] = await Promise.all([metricNames(signal), metadata(signal).catch(() => ({}))]);
  return { names, about };
}

export function MetricBrowser({ onPick }: { onPick: (expr: string) => void }): ReactNode {
  const { data, error } = usePolled(useCallback(loadMetrics, []), 0);
  const [search, setSearch] = useState('');
  const found = useMemo(() => {
    const words = search.toLowerCase().split(/\s+/).filter(Boolean);
    return (data?.names ?? []).filter((name) => {
      const text = `${name} ${data ? (metadataOf(name, data.about)?.help ?? '') : ''}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
  }, [data, search]);

  if (error) return <ErrorNotice error={error} doing="Cannot list the metrics." />;
  if (!data) return <Loading lines={6} />;
  if (data.names.length === 0) {
    return <Empty title="No metrics yet">Nothing has been stored. Open Targets to see what is being scraped, or write samples to this server.</Empty>;
  }
  const examples = examplesFor(data.names);
  return (
    <section className="browser" aria-label="Metrics">
      {examples.length > 0 && (
        <>
          <h2>Start with</h2>
          <div className="examples">
            {examples.map(({ title, expr }) => (
              <button type="button" key={title} onClick={() => onPick(expr)}>
                <strong>{title}</strong>
                <code>{expr}</code>
              </button>
            ))}
          </div>
        </>
      )}
      <div className="browser-head">
        <h2>
          Metrics <span className="muted">{countText(data.names.length)}</span>
        </h2>
        <SearchBox label="Search name or help" value={search} onChange={setSearch} />
      </div>
      {found.length === 0 && <Empty title="No metric matches">Every word must be part of the name or of the help text.</Empty>}
      <ul className="metric-list">
        {found.slice(0, MOST).map((name) => {
          const about = metadataOf(name, data.about);
          return (
            <li key={name}>
              <button type="button" onClick={() => onPick(firstQuery(name, about?.type))}>
                <code>{name}</code>
                {about && about.type !== 'unknown' && <Badge tone="plain">{about.type}</Badge>}
                <span className="muted help">{about?.help}</span>
              </button>
            </li>
          );
        })}
      </ul>
      {found.length > MOST && <p className="muted">{countText(found.length - MOST)} more: type to narrow the list.</p>}
    </section>
  );
}
