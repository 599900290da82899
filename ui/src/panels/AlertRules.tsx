/** Alerting rules by file and group; each opens to its query, settings, annotations and the alerts that are active. */
import { useCallback, useMemo, useState, type ReactNode } from 'react';
import { alertingRules, type ActiveAlert, type AlertingRule, type AlertState, type Labels, type RuleGroup } from '../api/prometheus';
import { readableDuration } from '../state/duration';
import { exploreLink } from '../state/exploreUrl';
import { usePolled } from '../state/usePolled';
import { countText, numberText, plural, sampleNumber } from '../viz/format';
import { Icon } from '../viz/icons';
import { Annotations, RunbookLink } from './Annotations';
import { Ago, Badge, Empty, ErrorNotice, LabelList, Link, Loading, Moment, RefreshControl, SearchBox, Segments, type Tone } from './parts';

type Filter = 'all' | AlertState;
const TONES: Record<AlertState, Tone> = { firing: 'bad', pending: 'warn', inactive: 'good' };
/** Alerts listed per rule before the reader asks for the rest. */
const FIRST_ALERTS = 50;

/** The worst state of a rule's alerts; servers also send it, but old ones do not. */
export function stateOf(rule: AlertingRule): AlertState {
  if (rule.state) return rule.state;
  if (rule.alerts.some((alert) => alert.state === 'firing')) return 'firing';
  return rule.alerts.some((alert) => alert.state === 'pending') ? 'pending' : 'inactive';
}

function matches(rule: AlertingRule, group: RuleGroup, words: string[]): boolean {
  const labels = [rule.labels ?? {}, rule.annotations ?? {}, ...rule.alerts.map((alert) => alert.labels)];
  const text = `${rule.name} ${rule.query} ${group.name} ${labels.flatMap((one) => Object.entries(one).flat()).join(' ')}`.toLowerCase();
  return words.every((word) => text.includes(word));
}

export function AlertRules({ onSilence }: { onSilence: (labels: Labels) => void }): ReactNode {
  const [every, setEvery] = useState(15);
  const { data, error, loading, reload } = usePolled(useCallback((signal: AbortSignal) => alertingRules(signal), []), every * 1000);
  const [filter, setFilter] = useState<Filter>('all');
  const [search, setSearch] = useState('');
  const groups = useMemo(() => (data ?? []).filter((group) => group.rules.length > 0), [data]);
  const rules = groups.flatMap((group) => group.rules);
  const count = (state: AlertState) => rules.filter((rule) => stateOf(rule) === state).length;
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = groups
    .map((group) => ({ group, rules: group.rules.filter((rule) => (filter === 'all' || stateOf(rule) === filter) && matches(rule, group, words)) }))
    .filter((one) => one.rules.length > 0);
  return (
    <>
      <div className="toolbar">
        <Segments
          label="State"
          value={filter}
          onChange={setFilter}
          choices={[
            { value: 'all', text: 'All', count: rules.length },
            { value: 'firing', text: 'Firing', count: count('firing'), tone: 'bad' },
            { value: 'pending', text: 'Pending', count: count('pending'), tone: 'warn' },
            { value: 'inactive', text: 'Inactive', count: count('inactive'), tone: 'good' },
          ]}
        />
        <span className="spring" />
        <SearchBox label="Search name, label or query" value={search} onChange={setSearch} />
        <RefreshControl every={every} onEvery={setEvery} onRefresh={reload} loading={loading} />
      </div>
      {error && <ErrorNotice error={error} doing="Cannot load the alerting rules." />}
      {!data && !error && <Loading lines={6} />}
      {data && rules.length === 0 && <Empty title="No alerting rules">Name a file with rules under rule_files in the configuration and reload it.</Empty>}
      {rules.length > 0 && shown.length === 0 && <Empty title="No rule matches">Choose another state or clear the search.</Empty>}
      {shown.map(({ group, rules: visible }) => (
        <section className="card" key={`${group.file} ${group.name}`} aria-label={`Group ${group.name}`}>
          <div className="card-head">
            <h2>{group.name}</h2>
            <span className="muted file">{group.file}</span>
          </div>
          {visible.map((rule, index) => (
            <RuleLine key={`${rule.name} ${index}`} rule={rule} onSilence={onSilence} />
          ))}
        </section>
      ))}
    </>
  );
}

function RuleLine({ rule, onSilence }: { rule: AlertingRule; onSilence: (labels: Labels) => void }): ReactNode {
  const state = stateOf(rule);
  const [open, setOpen] = useState(state === 'firing');
  const annotations = rule.annotations ?? {};
  const active = rule.alerts.length;
  return (
    <article className={`line rule ${state}`} data-testid="rule">
      <button type="button" className="line-toggle" aria-expanded={open} aria-label={`Details of ${rule.name}`} onClick={() => setOpen(!open)}>
        <Icon name="chevron" size={16} />
      </button>
      <Badge tone={TONES[state]}>{state}</Badge>
      <div className="line-main">
        <div className="line-title">
          <strong>{rule.name}</strong>
          {active > 0 && <span className="muted">{plural(active, 'alert')}</span>}
          {rule.labels && Object.keys(rule.labels).length > 0 && <LabelList labels={rule.labels} />}
          <span className="spring" />
          <RunbookLink annotations={rule.alerts[0]?.annotations ?? annotations} />
        </div>
        {rule.lastError && <p className="error-text">{rule.lastError}</p>}
        {open && (
          <div className="details">
            <p className="expr">
              <Link to={exploreLink(rule.query)} title="Open in Explore">
                <code>{rule.query}</code>
              </Link>
            </p>
            <dl className="facts wide">
              <div>
                <dt>For</dt>
                <dd>{readableDuration(rule.duration)}</dd>
              </div>
              <div>
                <dt>Keep firing for</dt>
                <dd>{readableDuration(rule.keepFiringFor ?? 0)}</dd>
              </div>
              <div>
                <dt>Evaluated</dt>
                <dd>
                  <Ago iso={rule.lastEvaluation} />
                </dd>
              </div>
            </dl>
            {active === 0 && <Annotations annotations={annotations} />}
            <ActiveAlerts alerts={rule.alerts} onSilence={onSilence} />
          </div>
        )}
      </div>
    </article>
  );
}

function ActiveAlerts({ alerts, onSilence }: { alerts: ActiveAlert[]; onSilence: (labels: Labels) => void }): ReactNode {
  const [all, setAll] = useState(false);
  const visible = all ? alerts : alerts.slice(0, FIRST_ALERTS);
  return (
    <>
      {visible.map((alert) => (
        <div className={`alert ${alert.state}`} key={JSON.stringify(alert.labels)} data-testid="alert">
          <div className="alert-head">
            <Badge tone={TONES[alert.state]}>{alert.state}</Badge>
            <span>
              since <Ago iso={alert.activeAt} /> <span className="muted">(<Moment iso={alert.activeAt} />)</span>
            </span>
            {alert.keepFiringSince && !alert.keepFiringSince.startsWith('0001-') && (
              <span className="muted">
                kept firing since <Moment iso={alert.keepFiringSince} />
              </span>
            )}
            <span>
              value <b title={alert.value}>{numberText(sampleNumber(alert.value))}</b>
            </span>
            <span className="spring" />
            <button type="button" className="button small" onClick={() => onSilence(alert.labels)}>
              <Icon name="mute" size={16} /> Silence
            </button>
          </div>
          <LabelList labels={alert.labels} />
          <Annotations annotations={alert.annotations} />
        </div>
      ))}
      {visible.length < alerts.length && (
        <button type="button" className="button more" onClick={() => setAll(true)}>
          Show all {countText(alerts.length)} alerts
        </button>
      )}
    </>
  );
}
