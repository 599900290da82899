/** Labels, numbers and times as text. */
import type { Labels } from '../api/prometheus';
import type { Zone } from '../state/settings';

const PLAIN_NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;

/** Quotes a label name or metric name that is not a plain identifier, as PromQL's UTF-8 syntax does. */
function nameText(name: string): string {
  return PLAIN_NAME.test(name) ? name : JSON.stringify(name);
}

/** `name{label="value"}`; `{}` for a series without labels. */
export function seriesName(labels: Labels): string {
  const name = labels['__name__'] ?? '';
  const quoted = name !== '' && !PLAIN_NAME.test(name);
  const pairs = Object.entries(labels)
    .filter(([label]) => label !== '__name__')
    .map(([label, value]) => `${nameText(label)}=${JSON.stringify(value)}`);
  if (quoted) pairs.unshift(JSON.stringify(name));
  if (pairs.length === 0 && name) return name;
  return `${quoted ? '' : name}{${pairs.join(', ')}}`;
}

/** The number in a sample's text: "NaN", "+Inf" and "-Inf" included. */
export function sampleNumber(text: string): number {
  if (text === '+Inf' || text === 'Inf') return Infinity;
  if (text === '-Inf') return -Infinity;
  return Number(text);
}

/** A number short enough for a legend, with five significant digits and no rounding of whole numbers below a million. */
export function numberText(value: number | null | undefined): string {
  if (value === null || value === undefined) return '–';
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return String(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e15)) return value.toExponential(3);
  if (size < 1e4) return String(Number(value.toPrecision(5)));
  const units: [number, string][] = [
    [1e12, 'T'],
    [1e9, 'G'],
    [1e6, 'M'],
    [1e3, 'k'],
  ];
  const [scale, unit] = units.find(([least]) => size >= least) ?? [1, ''];
  return `${Number((value / scale).toPrecision(4))} ${unit}`;
}

const pad = (value: number) => String(value).padStart(2, '0');

/** "2026-11-22 17:04:05" in the reader's zone. */
export function timeText(ms: number, zone: Zone): string {
  const date = new Date(ms);
  if (zone === 'utc') return date.toISOString().slice(0, 19).replace('T', ' ');
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
  return `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
}

/** "1,234" */
export function countText(count: number): string {
  return count.toLocaleString('en-US');
}

/** "1 series", "3 targets": the noun with its plural when needed. */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${countText(count)} ${count === 1 ? one : many}`;
}
