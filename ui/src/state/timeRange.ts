/** A time range as the user wrote it ("now-1h" to "now", or two moments) and the moments it stands for. */
import { formatDuration, parseDuration } from './duration';

/** Both ends as text: an expression with "now", or "YYYY-MM-DD HH:MM:SS" in UTC. */
export interface TimeRange {
  from: string;
  to: string;
}

export const DEFAULT_RANGE: TimeRange = { from: 'now-1h', to: 'now' };

const NOW = /^now((?:[+-]\d+(?:ms|[smhdwMy]))*)(?:\/([smhdwMy]))?$/;

/** Moves `date` by whole calendar months or years, otherwise by a fixed time. */
function shift(date: Date, amount: number, unit: string): void {
  if (unit === 'M') date.setUTCMonth(date.getUTCMonth() + amount);
  else if (unit === 'y') date.setUTCFullYear(date.getUTCFullYear() + amount);
  else date.setTime(date.getTime() + amount * 1000 * (parseDuration(`1${unit}`) ?? 0));
}

/** Start of the unit that `date` lies in, or its last millisecond when it closes a range ("now/d" as `to`). */
function round(date: Date, unit: string, end: boolean): void {
  if (unit === 'y') date.setUTCMonth(0);
  if (unit === 'y' || unit === 'M') date.setUTCDate(1);
  if (unit === 'w') date.setUTCDate(date.getUTCDate() - ((date.getUTCDay() + 6) % 7));
  const level = 'smhdwMy'.indexOf(unit);
  date.setUTCMilliseconds(0);
  if (level >= 1) date.setUTCSeconds(0);
  if (level >= 2) date.setUTCMinutes(0);
  if (level >= 3) date.setUTCHours(0);
  if (end) {
    shift(date, 1, unit);
    date.setTime(date.getTime() - 1);
  }
}

/** Milliseconds since the epoch of one end of a range, or undefined when the text is not understood. Days begin in UTC. */
export function parseMoment(text: string, now: number, end = false): number | undefined {
  const trimmed = text.trim();
  const match = NOW.exec(trimmed);
  if (match) {
    const date = new Date(now);
    for (const [, sign, amount, unit] of (match[1] ?? '').matchAll(/([+-])(\d+)(ms|[smhdwMy])/g)) {
      shift(date, (sign === '-' ? -1 : 1) * Number(amount), unit ?? 's');
    }
    if (match[2]) round(date, match[2], end);
    return date.getTime();
  }
  if (/^\d{10}(\.\d+)?$/.test(trimmed)) return Number(trimmed) * 1000;
  if (/^\d{13}$/.test(trimmed)) return Number(trimmed);
  const iso = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2})(:\d{2}(?:\.\d+)?)?)?(Z?)$/.exec(trimmed);
  if (!iso) return undefined;
  const value = Date.parse(`${iso[1]}T${iso[2] ?? '00:00'}${iso[3] ?? ':00'}Z`);
  return Number.isNaN(value) ? undefined : value;
}

/** The range in milliseconds; undefined when an end is not understood or they are the wrong way round. */
export function resolveRange(range: TimeRange, now: number): { from: number; to: number } | undefined {
  const from = parseMoment(range.from, now);
  const to = parseMoment(range.to, now, true);
  return from === undefined || to === undefined || from >= to ? undefined : { from, to };
}

/** "YYYY-MM-DD HH:MM:SS" in UTC, the form that Prometheus's links use. */
export function utcText(ms: number): string {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
}

export function absoluteRange(from: number, to: number): TimeRange {
  const start = Math.floor(from / 1000) * 1000;
  return { from: utcText(start), to: utcText(Math.max(Math.ceil(to / 1000) * 1000, start + 1000)) };
}

/** Seconds of "now-X" to "now"; undefined for any other range. */
export function relativeSeconds(range: TimeRange): number | undefined {
  const match = /^now-(\d+(?:ms|[smhdwy]))$/.exec(range.from);
  return match && range.to === 'now' ? parseDuration(match[1] ?? '') : undefined;
}

export function lastSeconds(seconds: number): TimeRange {
  // One unit only, so that "now-90m" stays a single step back from now.
  const text = formatDuration(seconds);
  return { from: `now-${/^\d+[a-z]+$/.test(text) ? text : `${Math.round(seconds)}s`}`, to: 'now' };
}

const NICE_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];
/** Drawn points per series: about one per three pixels of a wide chart. */
const POINTS = 300;

/** A readable step for a range of so many seconds; at least one second. */
export function autoStep(seconds: number): number {
  const wanted = seconds / POINTS;
  return NICE_STEPS.find((step) => step >= wanted) ?? Math.ceil(wanted / 604800) * 604800;
}

/** Start and end moved down to multiples of the step, so that a refresh asks for the same moments again. */
export function alignToStep(fromMs: number, toMs: number, step: number): { start: number; end: number; step: number } {
  const down = (ms: number) => Math.round(Math.floor(ms / 1000 / step) * step * 1000) / 1000;
  return { start: down(fromMs), end: down(toMs), step };
}
