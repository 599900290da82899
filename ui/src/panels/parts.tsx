/** The small pieces that all pages share: links, labels, badges, notices, times, filters. */
import { useId, type AnchorHTMLAttributes, type MouseEvent, type ReactNode } from 'react';
import type { ApiError } from '../api/http';
import type { Labels } from '../api/prometheus';
import { useNow } from '../state/clock';
import { readableDuration } from '../state/duration';
import { href, navigate } from '../state/router';
import { useSettings } from '../state/settings';
import { timeText } from '../viz/format';
import { Icon, type IconName } from '../viz/icons';

interface LinkProps extends AnchorHTMLAttributes<HTMLAnchorElement> {
  /** Page and query below the base path. */
  to: string;
}

/** A link inside the application: no page load, but open-in-new-tab and copy work. */
export function Link({ to, onClick, ...rest }: LinkProps): ReactNode {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    navigate(to);
  };
  return <a {...rest} href={href(to)} onClick={follow} />;
}

export function LabelList({ labels, skip = [] }: { labels: Labels; skip?: string[] }): ReactNode {
  const shown = Object.entries(labels).filter(([name]) => !skip.includes(name));
  if (shown.length === 0) return <span className="muted">no labels</span>;
  return (
    <span className="labels">
      {shown.map(([name, value]) => (
        <span className="label" key={name}>
          <span className="label-name">{name}</span>
          <span className="label-value">{value === '' ? '""' : value}</span>
        </span>
      ))}
    </span>
  );
}

export type Tone = 'good' | 'bad' | 'warn' | 'info' | 'plain';

export function Badge({ tone, children }: { tone: Tone; children: ReactNode }): ReactNode {
  return <span className={`badge ${tone}`}>{children}</span>;
}

export function Notice({ tone, title, children }: { tone: Tone; title?: string; children: ReactNode }): ReactNode {
  return (
    <div className={`notice ${tone}`} role={tone === 'bad' ? 'alert' : 'status'}>
      <Icon name={tone === 'info' || tone === 'plain' ? 'info' : 'warning'} />
      <div>
        {title && <strong>{title} </strong>}
        {children}
      </div>
    </div>
  );
}

export function ErrorNotice({ error, doing }: { error: ApiError; doing: string }): ReactNode {
  return (
    <Notice tone="bad" title={doing}>
      <code>{error.kind}</code> {error.message}
    </Notice>
  );
}

/** The zero time that the servers write for "never". */
function never(iso: string): boolean {
  return !iso || iso.startsWith('0001-');
}

/** "12s ago" with the exact time on hover. */
export function Ago({ iso }: { iso: string }): ReactNode {
  const now = useNow();
  const { zone } = useSettings();
  if (never(iso)) return <span className="muted">never</span>;
  const then = Date.parse(iso);
  const seconds = (now - then) / 1000;
  const text = seconds < -1 ? `in ${readableDuration(Math.round(-seconds))}` : `${readableDuration(Math.max(0, Math.floor(seconds)))} ago`;
  return (
    <time dateTime={iso} title={timeText(then, zone)}>
      {text}
    </time>
  );
}

/** "2026-11-22 17:04:05" in the chosen zone. */
export function Moment({ iso }: { iso: string }): ReactNode {
  const { zone } = useSettings();
  return <time dateTime={iso}>{never(iso) ? 'never' : timeText(Date.parse(iso), zone)}</time>;
}

export interface Choice<V extends string> {
  value: V;
  text: string;
  count?: number;
  tone?: Tone;
}

/** A row of buttons of which one is chosen; a radio group to the keyboard and to screen readers. */
export function Segments<V extends string>({ label, choices, value, onChange }: { label: string; choices: Choice<V>[]; value: V; onChange: (value: V) => void }): ReactNode {
  const name = useId();
  return (
    <fieldset className="segments">
      <legend className="hidden-text">{label}</legend>
      {choices.map((choice) => (
        <label key={choice.value} className={choice.value === value ? 'on' : undefined}>
          <input type="radio" name={name} value={choice.value} checked={choice.value === value} onChange={() => onChange(choice.value)} />
          <span>{choice.text}</span>
          {choice.count !== undefined && <span className={`count ${choice.count > 0 ? (choice.tone ?? '') : ''}`}>{choice.count}</span>}
        </label>
      ))}
    </fieldset>
  );
}

export function SearchBox({ label, value, onChange }: { label: string; value: string; onChange: (value: string) => void }): ReactNode {
  return (
    <label className="search">
      <Icon name="search" size={16} />
      <span className="hidden-text">{label}</span>
      <input type="search" placeholder={label} value={value} onChange={(event) => onChange(event.target.value)} />
    </label>
  );
}

const REFRESH = [
  [0, 'Off'],
  [5, '5s'],
  [15, '15s'],
  [30, '30s'],
  [60, '1m'],
  [300, '5m'],
] as const;

/** Refresh now, and how often by itself (seconds, 0: never). */
export function RefreshControl({ every, onEvery, onRefresh, loading }: { every: number; onEvery: (seconds: number) => void; onRefresh: () => void; loading: boolean }): ReactNode {
  return (
    <div className="joined">
      <button type="button" className="button" onClick={onRefresh} title="Refresh now" aria-label="Refresh now" aria-busy={loading}>
        <span className={loading ? 'spin' : undefined}>
          <Icon name="refresh" />
        </span>
      </button>
      <select aria-label="Auto refresh" title="Auto refresh" value={every} onChange={(event) => onEvery(Number(event.target.value))}>
        {REFRESH.map(([seconds, text]) => (
          <option key={seconds} value={seconds}>
            {text}
          </option>
        ))}
      </select>
    </div>
  );
}

export function IconButton({ icon, label, onClick, pressed, disabled }: { icon: IconName; label: string; onClick: () => void; pressed?: boolean; disabled?: boolean }): ReactNode {
  return (
    <button type="button" className="button quiet" onClick={onClick} title={label} aria-label={label} aria-pressed={pressed} disabled={disabled}>
      <Icon name={icon} />
    </button>
  );
}

/** The title line of a page with its controls. */
export function PageHead({ title, children }: { title: string; children?: ReactNode }): ReactNode {
  return (
    <header className="page-head">
      <h1>{title}</h1>
      <div className="controls">{children}</div>
    </header>
  );
}

/** Said in place of an empty list: what is not there and what would bring it. */
export function Empty({ title, children }: { title: string; children?: ReactNode }): ReactNode {
  return (
    <div className="empty">
      <strong>{title}</strong>
      {children && <p>{children}</p>}
    </div>
  );
}

/** Placeholder lines while the first answer is under way. */
export function Loading({ lines = 4 }: { lines?: number }): ReactNode {
  return (
    <div className="loading" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, index) => (
        <span key={index} />
      ))}
    </div>
  );
}

const URL_IN_TEXT = /(https?:\/\/[^\s<>"']*[^\s<>"'.,;:!?)\]}])/g;

/** Text in which web addresses are links. */
export function LinkedText({ text }: { text: string }): ReactNode {
  return text.split(URL_IN_TEXT).map((part, index) =>
    index % 2 === 1 ? (
      <a key={index} href={part} target="_blank" rel="noreferrer">
        {part}
      </a>
    ) : (
      part
    ),
  );
}
