/** Durations as Prometheus writes them ("1h30m", "250ms"), in seconds. */
const UNITS: [string, number][] = [
  ['y', 365 * 86400],
  ['w', 7 * 86400],
  ['d', 86400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
  ['ms', 0.001],
];
const SHAPE = /^(\d+y)?(\d+w)?(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?$/;

/** Seconds of "1h30m" or of a plain number of seconds; undefined when it is neither. */
export function parseDuration(text: string): number | undefined {
  const trimmed = text.trim();
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed);
  if (!trimmed || !SHAPE.test(trimmed)) return undefined;
  let seconds = 0;
  for (const [, amount, unit] of trimmed.matchAll(/(\d+)([a-z]+)/g)) {
    seconds += Number(amount) * (UNITS.find(([name]) => name === unit)?.[1] ?? 0);
  }
  return seconds;
}

/** The exact duration in Prometheus's units, largest first; weeks and years only when nothing is left over. */
export function formatDuration(seconds: number): string {
  let ms = Math.round(seconds * 1000);
  if (ms === 0) return '0s';
  let out = '';
  for (const [unit, size] of UNITS) {
    const unitMs = size * 1000;
    if ((unit === 'y' || unit === 'w') && ms % unitMs !== 0) continue;
    const amount = Math.floor(ms / unitMs);
    ms -= amount * unitMs;
    if (amount > 0) out += `${amount}${unit}`;
  }
  return out;
}

/** A duration for reading, two units at most: "2d 3h", "4m 10s", "1.2s", "35ms". */
export function readableDuration(seconds: number): string {
  const size = Math.abs(seconds);
  if (size === 0) return '0s';
  if (size < 0.001) return `${(seconds * 1e6).toFixed(0)}µs`;
  if (size < 1) return `${(seconds * 1000).toFixed(size < 0.01 ? 1 : 0)}ms`;
  if (size < 10) return `${Number(seconds.toFixed(1))}s`;
  const whole = Math.round(size);
  const parts = [
    [Math.floor(whole / 86400), 'd'],
    [Math.floor(whole / 3600) % 24, 'h'],
    [Math.floor(whole / 60) % 60, 'm'],
    [whole % 60, 's'],
  ] as const;
  const first = parts.findIndex(([amount]) => amount > 0);
  return parts
    .slice(first, first + 2)
    .filter(([amount]) => amount > 0)
    .map(([amount, unit]) => `${amount}${unit}`)
    .join(' ');
}
