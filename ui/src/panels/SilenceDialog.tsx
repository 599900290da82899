/** The form that creates a silence: matchers, length, author and reason, with the alerts it would mute right now. */
import { useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { createSilence, operator, routedAlerts, type Matcher } from '../api/alertmanager';
import { asApiError, isAbort, type ApiError } from '../api/http';
import type { Labels } from '../api/prometheus';
import { parseDuration } from '../state/duration';
import { remember, remembered } from '../state/storage';
import { plural } from '../viz/format';
import { ErrorNotice, IconButton, Notice } from './parts';

interface Props {
  /** The alert to silence; its labels are the first matchers. */
  labels: Labels;
  onClose: () => void;
  /** Called with the id of the new silence. */
  onCreated: (id: string) => void;
}

const OPERATORS = ['=', '!=', '=~', '!~'] as const;

function exactly(labels: Labels): Matcher[] {
  const all = Object.entries(labels).map(([name, value]) => ({ name, value, isRegex: false, isEqual: true }));
  return all.length > 0 ? all : [{ name: 'alertname', value: '', isRegex: false, isEqual: true }];
}

export function SilenceDialog({ labels, onClose, onCreated }: Props): ReactNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  const [matchers, setMatchers] = useState(() => exactly(labels));
  const [duration, setDuration] = useState('2h');
  const [author, setAuthor] = useState(remembered('author') ?? '');
  const [comment, setComment] = useState('');
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();
  const seconds = parseDuration(duration);

  useEffect(() => dialog.current?.showModal(), []);

  const change = (index: number, part: Partial<Matcher>) => setMatchers(matchers.map((one, at) => (at === index ? { ...one, ...part } : one)));
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!seconds) return;
    setBusy(true);
    remember('author', author);
    const now = Date.now();
    const silence = { matchers, startsAt: new Date(now).toISOString(), endsAt: new Date(now + seconds * 1000).toISOString(), createdBy: author, comment };
    try {
      onCreated(await createSilence(silence));
    } catch (failure) {
      setError(asApiError(failure));
      setBusy(false);
    }
  };

  return (
    <dialog ref={dialog} aria-labelledby={title} onClose={onClose} onCancel={onClose}>
      <form onSubmit={(event) => void submit(event)}>
        <div className="card-head">
          <h2 id={title}>New silence</h2>
          <IconButton icon="close" label="Close" onClick={onClose} />
        </div>
        <fieldset className="matchers">
          <legend>Alerts with all of these labels stay quiet</legend>
          {matchers.map((matcher, index) => (
            <div className="matcher" key={index}>
              <input aria-label="Label" required value={matcher.name} onChange={(event) => change(index, { name: event.target.value })} spellCheck={false} />
              <select
                aria-label="Operator"
                value={operator(matcher)}
                onChange={(event) => change(index, { isRegex: event.target.value.endsWith('~'), isEqual: event.target.value.startsWith('=') })}
              >
                {OPERATORS.map((one) => (
                  <option key={one}>{one}</option>
                ))}
              </select>
              <input aria-label="Value" value={matcher.value} onChange={(event) => change(index, { value: event.target.value })} spellCheck={false} />
              <IconButton icon="close" label={`Remove matcher ${matcher.name}`} disabled={matchers.length === 1} onClick={() => setMatchers(matchers.filter((_, at) => at !== index))} />
            </div>
          ))}
          <button type="button" className="textual" onClick={() => setMatchers([...matchers, { name: '', value: '', isRegex: false, isEqual: true }])}>
            Add a matcher
          </button>
        </fieldset>
        <Preview matchers={matchers} />
        <div className="fields">
          <label>
            For
            <input required value={duration} aria-invalid={!seconds} list="silence-lengths" onChange={(event) => setDuration(event.target.value)} />
            <datalist id="silence-lengths">
              {['30m', '1h', '2h', '8h', '1d', '1w'].map((one) => (
                <option key={one} value={one} />
              ))}
            </datalist>
          </label>
          <label>
            Author
            <input required value={author} autoComplete="name" onChange={(event) => setAuthor(event.target.value)} />
          </label>
        </div>
        <label className="field">
          Reason
          <textarea required rows={2} value={comment} onChange={(event) => setComment(event.target.value)} />
        </label>
        {!seconds && <Notice tone="bad">The length must be a duration such as 30m, 2h or 1d.</Notice>}
        {error && <ErrorNotice error={error} doing="The silence was not created." />}
        <div className="dialog-actions">
          <button type="button" className="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={busy || !seconds}>
            Create silence
          </button>
        </div>
      </form>
    </dialog>
  );
}

/** How many alerts the matchers catch now, as the server counts them: a slip in a regular expression shows before it hurts. */
function Preview({ matchers }: { matchers: Matcher[] }): ReactNode {
  const [found, setFound] = useState<{ count: number; names: string[] }>();
  const [problem, setProblem] = useState<string>();
  useEffect(() => {
    const abort = new AbortController();
    const timer = setTimeout(() => {
      routedAlerts(matchers.filter((one) => one.name), abort.signal)
        .then((alerts) => {
          setFound({ count: alerts.length, names: [...new Set(alerts.map((alert) => alert.labels['alertname'] ?? ''))] });
          setProblem(undefined);
        })
        .catch((error: unknown) => {
          if (!isAbort(error)) setProblem(asApiError(error).message);
        });
    }, 250);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [matchers]);
  if (problem) return <Notice tone="warn">{problem}</Notice>;
  if (!found) return null;
  return (
    <p className="muted" role="status">
      Mutes {plural(found.count, 'alert')} now{found.count > 0 && `: ${found.names.slice(0, 5).join(', ')}${found.names.length > 5 ? ', …' : ''}`}
    </p>
  );
}
