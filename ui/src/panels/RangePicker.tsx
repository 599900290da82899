/** Chooses a time range: quick ones, two typed ends (relative or absolute), moving and zooming out; and the time zone. */
import { useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from 'react';
import { formatDuration, readableDuration } from '../state/duration';
import { setZone, useSettings } from '../state/settings';
import { absoluteRange, lastSeconds, parseMoment, relativeSeconds, resolveRange, utcText, type TimeRange } from '../state/timeRange';
import { timeText } from '../viz/format';
import { Icon } from '../viz/icons';

const QUICK = [300, 900, 1800, 3600, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000];
const NAMED: [string, TimeRange][] = [
  ['Today so far', { from: 'now/d', to: 'now' }],
  ['Yesterday', { from: 'now-1d/d', to: 'now-1d/d' }],
  ['This week so far', { from: 'now/w', to: 'now' }],
];

function quickName(seconds: number): string {
  const [amount, unit] = seconds % 86400 === 0 ? [seconds / 86400, 'day'] : seconds % 3600 === 0 ? [seconds / 3600, 'hour'] : [seconds / 60, 'minute'];
  return amount === 1 ? `Last ${unit}` : `Last ${amount} ${unit}s`;
}

export function rangeText(range: TimeRange, zone: 'browser' | 'utc'): string {
  const relative = relativeSeconds(range);
  if (relative !== undefined) return relative % 60 === 0 ? quickName(relative) : `Last ${formatDuration(relative)}`;
  const named = NAMED.find(([, one]) => one.from === range.from && one.to === range.to);
  if (named) return named[0];
  return `${endText(range.from, zone)} – ${endText(range.to, zone)}`;
}

/** One end as it is typed and read: relative ones as they are, moments in the reader's zone. */
function endText(end: string, zone: 'browser' | 'utc'): string {
  const moment = end.includes('now') ? undefined : parseMoment(end, 0);
  return moment === undefined ? end : timeText(moment, zone);
}

/** The typed end as Explore keeps it: relative text, or a moment in UTC. Undefined when not understood. */
function typedEnd(text: string, zone: 'browser' | 'utc', end: boolean): string | undefined {
  const moment = parseMoment(text, Date.now(), end);
  if (moment === undefined || text.includes('now')) return moment === undefined ? undefined : text.trim();
  const bare = /^\d{4}-/.test(text.trim()) && !text.trim().endsWith('Z');
  if (!bare || zone === 'utc') return utcText(moment);
  const wall = new Date(moment);
  const [year, month, day] = [wall.getUTCFullYear(), wall.getUTCMonth(), wall.getUTCDate()];
  return utcText(new Date(year, month, day, wall.getUTCHours(), wall.getUTCMinutes(), wall.getUTCSeconds()).getTime());
}

export function RangePicker({ range, onChange }: { range: TimeRange; onChange: (range: TimeRange) => void }): ReactNode {
  const { zone } = useSettings();
  const [open, setOpen] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const resolved = resolveRange(range, Date.now());

  useEffect(() => {
    if (!open) return;
    const outside = (event: PointerEvent) => {
      if (!box.current?.contains(event.target as Node)) setOpen(false);
    };
    const escape = (event: KeyboardEvent) => {
      if (event.key !== 'Escape') return;
      setOpen(false);
      button.current?.focus();
    };
    document.addEventListener('pointerdown', outside);
    document.addEventListener('keydown', escape);
    return () => {
      document.removeEventListener('pointerdown', outside);
      document.removeEventListener('keydown', escape);
    };
  }, [open]);

  const choose = (next: TimeRange) => {
    onChange(next);
    setOpen(false);
    button.current?.focus();
  };
  const move = (share: number) => {
    if (resolved) onChange(absoluteRange(resolved.from + share * (resolved.to - resolved.from), resolved.to + share * (resolved.to - resolved.from)));
  };
  const zoomOut = () => {
    if (!resolved) return;
    const relative = relativeSeconds(range);
    const half = (resolved.to - resolved.from) / 2;
    onChange(relative === undefined ? absoluteRange(resolved.from - half, resolved.to + half) : lastSeconds(relative * 2));
  };

  return (
    <div className="range" ref={box}>
      <div className="joined">
        <button type="button" className="button" onClick={() => move(-0.5)} title="Earlier by half the range" aria-label="Earlier by half the range">
          <Icon name="left" />
        </button>
        <button type="button" className="button range-button" ref={button} onClick={() => setOpen(!open)} aria-expanded={open} aria-haspopup="dialog" aria-label={`Time range: ${rangeText(range, zone)}`}>
          <Icon name="clock" />
          <span>{rangeText(range, zone)}</span>
        </button>
        <button type="button" className="button" onClick={() => move(0.5)} title="Later by half the range" aria-label="Later by half the range">
          <Icon name="chevron" />
        </button>
        <button type="button" className="button range-zoom" onClick={zoomOut} title="Zoom out" aria-label="Zoom out">
          <Icon name="zoomOut" />
        </button>
      </div>
      {open && (
        <div className="popover range-popover" role="dialog" aria-label="Time range">
          <RangeForm range={range} zone={zone} onChoose={choose} />
          <div className="range-quick">
            {QUICK.map((seconds) => (
              <button type="button" key={seconds} aria-current={relativeSeconds(range) === seconds} onClick={() => choose(lastSeconds(seconds))}>
                {quickName(seconds)}
              </button>
            ))}
            {NAMED.map(([name, one]) => (
              <button type="button" key={name} aria-current={one.from === range.from && one.to === range.to} onClick={() => choose(one)}>
                {name}
              </button>
            ))}
          </div>
        </div>
      )}
    </div>
  );
}

function RangeForm({ range, zone, onChoose }: { range: TimeRange; zone: 'browser' | 'utc'; onChoose: (range: TimeRange) => void }): ReactNode {
  const [from, setFrom] = useState(() => endText(range.from, zone));
  const [to, setTo] = useState(() => endText(range.to, zone));
  const [problem, setProblem] = useState<string>();
  const first = useRef<HTMLInputElement>(null);
  const help = useId();
  useEffect(() => first.current?.focus(), []);
  useEffect(() => {
    setFrom(endText(range.from, zone));
    setTo(endText(range.to, zone));
  }, [range, zone]);

  const submit = (event: FormEvent) => {
    event.preventDefault();
    const start = typedEnd(from, zone, false);
    const end = typedEnd(to, zone, true);
    if (start === undefined || end === undefined) {
      setProblem(`"${start === undefined ? from : to}" is neither a moment like 2026-01-31 08:00 nor relative like now-6h`);
    } else if (!resolveRange({ from: start, to: end }, Date.now())) setProblem('the range ends before it begins');
    else onChoose({ from: start, to: end });
  };
  const resolved = resolveRange({ from: typedEnd(from, zone, false) ?? '', to: typedEnd(to, zone, true) ?? '' }, Date.now());
  return (
    <form className="range-form" onSubmit={submit}>
      <label>
        From
        <input ref={first} value={from} onChange={(event) => setFrom(event.target.value)} aria-describedby={help} spellCheck={false} />
      </label>
      <label>
        To
        <input value={to} onChange={(event) => setTo(event.target.value)} aria-describedby={help} spellCheck={false} />
      </label>
      <p id={help} className={problem ? 'problem' : 'muted'} role={problem ? 'alert' : undefined}>
        {problem ?? (resolved ? `${readableDuration((resolved.to - resolved.from) / 1000)} long. Also: now-6h, now-1d/d` : 'For example 2026-01-31 08:00, or now-6h')}
      </p>
      <button type="submit" className="button primary">
        Apply
      </button>
      <label className="zone">
        Time zone
        <select value={zone} onChange={(event) => setZone(event.target.value === 'utc' ? 'utc' : 'browser')}>
          <option value="browser">Browser ({Intl.DateTimeFormat().resolvedOptions().timeZone})</option>
          <option value="utc">UTC</option>
        </select>
      </label>
    </form>
  );
}
