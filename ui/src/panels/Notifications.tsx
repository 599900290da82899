/** What the Alertmanager holds: the alerts it routes, and the silences with the means to expire them. */
import { useCallback, useEffect, useState, type ReactNode } from 'react';
import { expireSilence, operator, routedAlerts, silences, type RoutedAlert, type Silence } from '../api/alertmanager';
import { asApiError, type ApiError } from '../api/http';
import type { Labels } from '../api/prometheus';
import { usePolled } from '../state/usePolled';
import { Icon } from '../viz/icons';
import { Annotations, RunbookLink } from './Annotations';
import { Ago, Badge, Empty, ErrorNotice, LabelList, Loading, Moment, RefreshControl, SearchBox, Segments, type Tone } from './parts';

const matchesWords = (text: string, search: string) =>
  search.toLowerCase().split(/\s+/).filter(Boolean).every((word) => text.toLowerCase().includes(word));

const ALERT_TONES: Record<RoutedAlert['status']['state'], Tone> = { active: 'bad', suppressed: 'plain', unprocessed: 'info' };

interface Props {
  onSilence: (labels: Labels) => void;
  /** Changes when a silence was created: time to ask again. */
  changes: number;
}

export function RoutedAlerts({ onSilence, changes }: Props): ReactNode {
  const [every, setEvery] = useState(15);
  // A new function per change makes usePolled ask again at once.
  const load = useCallback((signal: AbortSignal) => routedAlerts([], signal), [changes]);
  const { data, error, loading, reload } = usePolled(load, every * 1000);
  const [search, setSearch] = useState('');
  const shown = (data ?? []).filter((alert) => matchesWords(Object.entries(alert.labels).flat().join(' '), search));
  return (
    <>
      <div className="toolbar">
        <SearchBox label="Search labels" value={search} onChange={setSearch} />
        <span className="spring" />
        <RefreshControl every={every} onEvery={setEvery} onRefresh={reload} loading={loading} />
      </div>
      {error && <ErrorNotice error={error} doing="Cannot load the alerts of the Alertmanager." />}
      {!data && !error && <Loading />}
      {data && shown.length === 0 && <Empty title={data.length === 0 ? 'No alerts' : 'No alert matches'}>{data.length === 0 ? 'Nothing has been sent to the Alertmanager, or all of it is resolved.' : 'Clear the search to see all.'}</Empty>}
      {shown.length > 0 && (
        <section className="card" aria-label="Routed alerts">
          {shown.map((alert) => (
            <article className="line" key={alert.fingerprint} data-testid="routed">
              <Badge tone={ALERT_TONES[alert.status.state]}>{alert.status.state}</Badge>
              <div className="line-main">
                <div className="line-title">
                  <strong>{alert.labels['alertname']}</strong>
                  <span className="muted">
                    since <Ago iso={alert.startsAt} /> (<Moment iso={alert.startsAt} />) to {alert.receivers.map(({ name }) => name).join(', ')}
                  </span>
                  <span className="spring" />
                  <RunbookLink annotations={alert.annotations} />
                  <button type="button" className="button small" onClick={() => onSilence(alert.labels)}>
                    <Icon name="mute" size={16} /> Silence
                  </button>
                </div>
                {alert.status.silencedBy.length > 0 && <p className="muted">Silenced by {alert.status.silencedBy.join(', ')}</p>}
                {alert.status.inhibitedBy.length > 0 && <p className="muted">Inhibited by {alert.status.inhibitedBy.join(', ')}</p>}
                <LabelList labels={alert.labels} skip={['alertname']} />
                <Annotations annotations={alert.annotations} />
              </div>
            </article>
          ))}
        </section>
      )}
    </>
  );
}

type Shown = 'active' | 'pending' | 'expired';
const SILENCE_TONES: Record<Shown, Tone> = { active: 'info', pending: 'warn', expired: 'plain' };

export function Silences({ onSilence, changes }: Props): ReactNode {
  const [every, setEvery] = useState(15);
  // A new function per change makes usePolled ask again at once.
  const load = useCallback((signal: AbortSignal) => silences(signal), [changes]);
  const { data, error, loading, reload } = usePolled(load, every * 1000);
  const [state, setState] = useState<Shown>('active');
  const [search, setSearch] = useState('');
  const count = (one: Shown) => (data ?? []).filter((silence) => silence.status.state === one).length;
  const shown = (data ?? [])
    .filter((silence) => silence.status.state === state)
    .filter((silence) => matchesWords(`${silence.comment} ${silence.createdBy} ${silence.matchers.map(({ name, value }) => `${name} ${value}`).join(' ')}`, search))
    .sort((a, b) => a.endsAt.localeCompare(b.endsAt));
  return (
    <>
      <div className="toolbar">
        <Segments
          label="State"
          value={state}
          onChange={setState}
          choices={[
            { value: 'active', text: 'Active', count: count('active') },
            { value: 'pending', text: 'Pending', count: count('pending') },
            { value: 'expired', text: 'Expired', count: count('expired') },
          ]}
        />
        <span className="spring" />
        <SearchBox label="Search silences" value={search} onChange={setSearch} />
        <button type="button" className="button" onClick={() => onSilence({})}>
          <Icon name="plus" size={16} /> New silence
        </button>
        <RefreshControl every={every} onEvery={setEvery} onRefresh={reload} loading={loading} />
      </div>
      {error && <ErrorNotice error={error} doing="Cannot load the silences." />}
      {!data && !error && <Loading />}
      {data && shown.length === 0 && <Empty title={`No ${state} silences`}>A silence keeps matching alerts from notifying anyone. Create one here, or from an alert.</Empty>}
      {shown.length > 0 && (
        <section className="card" aria-label="Silences">
          {shown.map((silence) => (
            <SilenceLine key={silence.id} silence={silence} onExpired={reload} />
          ))}
        </section>
      )}
    </>
  );
}

function SilenceLine({ silence, onExpired }: { silence: Silence; onExpired: () => void }): ReactNode {
  const [sure, setSure] = useState(false);
  const [error, setError] = useState<ApiError>();
  useEffect(() => {
    if (!sure) return;
    const timer = setTimeout(() => setSure(false), 4000);
    return () => clearTimeout(timer);
  }, [sure]);
  const expire = () => {
    if (!sure) {
      setSure(true);
      return;
    }
    expireSilence(silence.id)
      .then(onExpired)
      .catch((failure: unknown) => setError(asApiError(failure)));
  };
  const { state } = silence.status;
  return (
    <article className="line" data-testid="silence">
      <Badge tone={SILENCE_TONES[state]}>{state}</Badge>
      <div className="line-main">
        <div className="line-title">
          <strong>{silence.comment}</strong>
          <span className="muted">{silence.createdBy}</span>
          <span className="spring" />
          {state !== 'expired' && (
            <button type="button" className={sure ? 'button small danger' : 'button small'} onClick={expire}>
              {sure ? 'Click again to expire' : 'Expire'}
            </button>
          )}
        </div>
        <span className="labels">
          {silence.matchers.map((matcher) => (
            <span className="label" key={`${matcher.name} ${matcher.value}`}>
              <span className="label-name">
                {matcher.name}
                {operator(matcher)}
              </span>
              <span className="label-value">{JSON.stringify(matcher.value)}</span>
            </span>
          ))}
        </span>
        <p className="muted">
          {state === 'expired' ? 'ended' : 'ends'} <Ago iso={silence.endsAt} /> (<Moment iso={silence.endsAt} />), id {silence.id}
        </p>
        {error && <ErrorNotice error={error} doing="The silence was not expired." />}
      </div>
    </article>
  );
}
