/** Rules: all groups, recording and alerting, with how long and how well their last evaluation went. */
import { useCallback, useState, type ReactNode } from 'react';
import { rules, type Rule, type RuleGroup } from '../api/prometheus';
import { Ago, Badge, Empty, ErrorNotice, LabelList, Link, Loading, PageHead, RefreshControl, SearchBox, Segments, type Tone } from '../panels/parts';
import { formatDuration, readableDuration } from '../state/duration';
import { exploreLink } from '../state/exploreUrl';
import { usePolled } from '../state/usePolled';

type Filter = 'all' | Rule['type'] | 'err';
const TONES: Record<Rule['health'], Tone> = { ok: 'good', err: 'bad', unknown: 'plain' };

function matches(rule: Rule, group: RuleGroup, filter: Filter, words: string[]): boolean {
  if (filter === 'err' ? rule.health !== 'err' : filter !== 'all' && rule.type !== filter) return false;
  const text = `${rule.name} ${rule.query} ${group.name} ${group.file} ${Object.entries(rule.labels ?? {}).flat().join(' ')}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

export default function RulesPage(): ReactNode {
  const [every, setEvery] = useState(15);
  const { data, error, loading, reload } = usePolled(useCallback((signal: AbortSignal) => rules(signal), []), every * 1000);
  const [filter, setFilter] = useState<Filter>('all');
  const [search, setSearch] = useState('');
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const all = (data ?? []).flatMap((group) => group.rules);
  const count = (wanted: (rule: Rule) => boolean) => all.filter(wanted).length;
  const shown = (data ?? [])
    .map((group) => ({ group, visible: group.rules.filter((rule) => matches(rule, group, filter, words)) }))
    .filter(({ visible }) => visible.length > 0);
  return (
    <>
      <PageHead title="Rules">
        <SearchBox label="Search name, query or file" value={search} onChange={setSearch} />
        <RefreshControl every={every} onEvery={setEvery} onRefresh={reload} loading={loading} />
      </PageHead>
      <Segments
        label="Kind"
        value={filter}
        onChange={setFilter}
        choices={[
          { value: 'all', text: 'All', count: all.length },
          { value: 'alerting', text: 'Alerting', count: count(({ type }) => type === 'alerting') },
          { value: 'recording', text: 'Recording', count: count(({ type }) => type === 'recording') },
          { value: 'err', text: 'With errors', count: count(({ health }) => health === 'err'), tone: 'bad' },
        ]}
      />
      {error && <ErrorNotice error={error} doing="Cannot load the rules." />}
      {!data && !error && <Loading lines={6} />}
      {data && all.length === 0 && <Empty title="No rules">Name a file with rules under rule_files in the configuration and reload it.</Empty>}
      {all.length > 0 && shown.length === 0 && <Empty title="No rule matches">Choose another kind or clear the search.</Empty>}
      {shown.map(({ group, visible }) => (
        <section className="card" key={`${group.file} ${group.name}`} aria-label={`Group ${group.name}`} data-testid="group">
          <div className="card-head">
            <h2>{group.name}</h2>
            <span className="muted file">{group.file}</span>
            <span className="spring" />
            <span className="muted">
              every {formatDuration(group.interval)} · last <Ago iso={group.lastEvaluation} /> · took {readableDuration(group.evaluationTime)}
            </span>
          </div>
          {visible.map((rule, index) => (
            <RuleLine key={`${rule.name} ${index}`} rule={rule} />
          ))}
        </section>
      ))}
    </>
  );
}

function RuleLine({ rule }: { rule: Rule }): ReactNode {
  return (
    <article className="line" data-testid="rule">
      <Badge tone={TONES[rule.health]}>{rule.health}</Badge>
      <div className="line-main">
        <div className="line-title">
          <strong>{rule.name}</strong>
          <span className="muted">{rule.type}</span>
          {rule.labels && Object.keys(rule.labels).length > 0 && <LabelList labels={rule.labels} />}
        </div>
        <p className="expr">
          <Link to={exploreLink(rule.query)} title="Open in Explore">
            <code>{rule.query}</code>
          </Link>
        </p>
        {rule.lastError && <p className="error-text">{rule.lastError}</p>}
      </div>
      <dl className="facts">
        {rule.type === 'alerting' && (
          <div>
            <dt>For</dt>
            <dd>{readableDuration(rule.duration)}</dd>
          </div>
        )}
        <div>
          <dt>Evaluated</dt>
          <dd>
            <Ago iso={rule.lastEvaluation} />
          </dd>
        </div>
        <div>
          <dt>Took</dt>
          <dd>{readableDuration(rule.evaluationTime)}</dd>
        </div>
      </dl>
    </article>
  );
}
