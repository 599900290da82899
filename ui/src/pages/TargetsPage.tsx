/** Targets: every scrape target by pool, with its state, last scrape, error and its labels before and after relabelling. */
import { useCallback, useMemo, useState, type ReactNode } from 'react';
import { targets, type ActiveTarget, type DroppedTarget, type Targets } from '../api/prometheus';
import { Ago, Badge, Empty, ErrorNotice, LabelList, Loading, PageHead, RefreshControl, SearchBox, Segments, type Tone } from '../panels/parts';
import { readableDuration } from '../state/duration';
import { usePolled } from '../state/usePolled';
import { countText, plural } from '../viz/format';
import { Icon } from '../viz/icons';

type Filter = 'all' | ActiveTarget['health'] | 'dropped';
const TONES: Record<ActiveTarget['health'], Tone> = { up: 'good', down: 'bad', unknown: 'plain' };
/** Lines shown per pool before the reader asks for the rest. */
const FIRST_LINES = 50;

interface Pool {
  name: string;
  active: ActiveTarget[];
  dropped: DroppedTarget[];
  droppedCount: number;
}

export function poolsOf({ activeTargets, droppedTargets, droppedTargetCounts }: Targets): Pool[] {
  const pools = new Map<string, Pool>();
  const pool = (name: string): Pool => {
    const found = pools.get(name) ?? { name, active: [], dropped: [], droppedCount: 0 };
    pools.set(name, found);
    return found;
  };
  for (const target of activeTargets) pool(target.scrapePool).active.push(target);
  for (const target of droppedTargets) pool(target.scrapePool ?? target.discoveredLabels['job'] ?? '').dropped.push(target);
  for (const [name, count] of Object.entries(droppedTargetCounts ?? {})) if (count > 0) pool(name).droppedCount = count;
  for (const one of pools.values()) one.droppedCount = Math.max(one.droppedCount, one.dropped.length);
  return [...pools.values()].sort((a, b) => a.name.localeCompare(b.name));
}

function matches(target: ActiveTarget, words: string[]): boolean {
  const text = `${target.scrapeUrl} ${target.lastError} ${Object.entries(target.labels).flat().join(' ')}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

export default function TargetsPage(): ReactNode {
  const [every, setEvery] = useState(15);
  const { data, error, loading, reload } = usePolled(useCallback((signal: AbortSignal) => targets(signal), []), every * 1000);
  const [filter, setFilter] = useState<Filter>('all');
  const [search, setSearch] = useState('');
  const pools = useMemo(() => (data ? poolsOf(data) : []), [data]);
  const count = (health: ActiveTarget['health']) => data?.activeTargets.filter((target) => target.health === health).length ?? 0;
  const dropped = pools.reduce((sum, pool) => sum + pool.droppedCount, 0);
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = pools
    .map((pool) => ({
      pool,
      active: filter === 'dropped' ? [] : pool.active.filter((target) => (filter === 'all' || target.health === filter) && matches(target, words)),
      dropped: (filter === 'all' && words.length === 0) || filter === 'dropped' ? pool.dropped.filter((target) => words.every((word) => Object.entries(target.discoveredLabels).flat().join(' ').toLowerCase().includes(word))) : [],
    }))
    .filter(({ active, dropped: gone, pool }) => active.length > 0 || gone.length > 0 || (filter !== 'dropped' && pool.active.length === 0 && words.length === 0 && filter === 'all'));

  return (
    <>
      <PageHead title="Targets">
        <SearchBox label="Search URL, label or error" value={search} onChange={setSearch} />
        <RefreshControl every={every} onEvery={setEvery} onRefresh={reload} loading={loading} />
      </PageHead>
      <Segments
        label="State"
        value={filter}
        onChange={setFilter}
        choices={[
          { value: 'all', text: 'All', count: data?.activeTargets.length ?? 0 },
          { value: 'up', text: 'Up', count: count('up'), tone: 'good' },
          { value: 'down', text: 'Down', count: count('down'), tone: 'bad' },
          { value: 'unknown', text: 'Unknown', count: count('unknown') },
          { value: 'dropped', text: 'Dropped', count: dropped },
        ]}
      />
      {error && <ErrorNotice error={error} doing="Cannot load the targets." />}
      {!data && !error && <Loading lines={6} />}
      {data && pools.length === 0 && <Empty title="No targets">Add a scrape_configs section to the configuration and reload it.</Empty>}
      {data && pools.length > 0 && shown.length === 0 && <Empty title="No target matches">Choose another state or clear the search.</Empty>}
      {shown.map(({ pool, active, dropped: gone }) => (
        <PoolCard key={pool.name} pool={pool} active={active} dropped={gone} openDropped={filter === 'dropped'} />
      ))}
    </>
  );
}

function PoolCard({ pool, active, dropped, openDropped }: { pool: Pool; active: ActiveTarget[]; dropped: DroppedTarget[]; openDropped: boolean }): ReactNode {
  const [all, setAll] = useState(false);
  const up = pool.active.filter((target) => target.health === 'up').length;
  const tone: Tone = pool.active.some((target) => target.health === 'down') ? 'bad' : pool.active.length > 0 && up === pool.active.length ? 'good' : 'plain';
  const visible = all ? active : active.slice(0, FIRST_LINES);
  return (
    <section className="card pool" data-testid="pool" aria-label={`Scrape pool ${pool.name}`}>
      <div className="card-head">
        <h2>{pool.name}</h2>
        <Badge tone={tone}>{pool.active.length > 0 ? `${up} / ${pool.active.length} up` : 'none active'}</Badge>
      </div>
      {visible.map((target) => (
        <TargetLine key={`${target.scrapeUrl} ${JSON.stringify(target.labels)}`} target={target} />
      ))}
      {visible.length < active.length && (
        <button type="button" className="button more" onClick={() => setAll(true)}>
          Show all {countText(active.length)} targets
        </button>
      )}
      {dropped.length > 0 && (
        <details className="dropped" open={openDropped}>
          <summary>
            {plural(pool.droppedCount, 'target')} dropped by relabelling{dropped.length < pool.droppedCount && ` (${countText(dropped.length)} listed)`}
          </summary>
          <ul>
            {dropped.slice(0, 200).map((target, index) => (
              <li key={index}>
                <LabelList labels={target.discoveredLabels} />
              </li>
            ))}
          </ul>
        </details>
      )}
    </section>
  );
}

function TargetLine({ target }: { target: ActiveTarget }): ReactNode {
  const [open, setOpen] = useState(false);
  return (
    <article className={`line target ${target.health}`} data-testid="target">
      <button type="button" className="line-toggle" aria-expanded={open} aria-label={`Details of ${target.scrapeUrl}`} onClick={() => setOpen(!open)}>
        <Icon name="chevron" size={16} />
      </button>
      <Badge tone={TONES[target.health]}>{target.health}</Badge>
      <div className="line-main">
        <a href={target.globalUrl || target.scrapeUrl} target="_blank" rel="noreferrer" className="url">
          {target.scrapeUrl}
        </a>
        <LabelList labels={target.labels} />
        {target.lastError && <p className="error-text">{target.lastError}</p>}
        {open && (
          <div className="details">
            <h3>Labels before relabelling</h3>
            <LabelList labels={target.discoveredLabels} />
            <h3>Labels after relabelling</h3>
            <LabelList labels={target.labels} />
          </div>
        )}
      </div>
      <dl className="facts">
        <div>
          <dt>Last scrape</dt>
          <dd>
            <Ago iso={target.lastScrape} />
          </dd>
        </div>
        <div>
          <dt>Took</dt>
          <dd>{readableDuration(target.lastScrapeDuration)}</dd>
        </div>
        <div>
          <dt>Every</dt>
          <dd title={target.scrapeTimeout && `times out after ${target.scrapeTimeout}`}>{target.scrapeInterval ?? '–'}</dd>
        </div>
      </dl>
    </article>
  );
}
