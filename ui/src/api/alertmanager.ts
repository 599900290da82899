/** The Alertmanager HTTP API (/api/v2): alerts with their routing state, and silences. */
import { config } from './config';
import { ApiError, parseJson, send } from './http';
import type { Labels } from './prometheus';

export interface Matcher {
  name: string;
  value: string;
  isRegex: boolean;
  isEqual: boolean;
}
export interface RoutedAlert {
  fingerprint: string;
  labels: Labels;
  annotations: Labels;
  startsAt: string;
  endsAt: string;
  updatedAt: string;
  generatorURL?: string;
  receivers: { name: string }[];
  status: { state: 'active' | 'suppressed' | 'unprocessed'; silencedBy: string[]; inhibitedBy: string[] };
}
export interface Silence {
  id: string;
  matchers: Matcher[];
  startsAt: string;
  endsAt: string;
  updatedAt: string;
  createdBy: string;
  comment: string;
  status: { state: 'active' | 'pending' | 'expired' };
}
export interface NewSilence {
  matchers: Matcher[];
  startsAt: string;
  endsAt: string;
  createdBy: string;
  comment: string;
}

async function call<T>(path: string, init: RequestInit): Promise<T> {
  const { status, body } = await send(`${config.alertmanagerUrl}/api/v2/${path}`, init);
  if (status >= 400) {
    // Errors come as a bare JSON string, as {message}, or as text.
    let said = body.trim();
    try {
      const parsed = JSON.parse(body) as unknown;
      if (typeof parsed === 'string') said = parsed;
      else if (parsed && typeof parsed === 'object' && 'message' in parsed) said = String(parsed.message);
    } catch {
      // Text: shown as it is.
    }
    throw new ApiError(said.slice(0, 500) || `HTTP ${status}`, `http ${status}`, status);
  }
  return body ? parseJson<T>(status, body) : (undefined as T);
}

/** `name="value"` as the API's filter parameter and amtool write it. */
export function matcherText(matcher: Matcher): string {
  return `${matcher.name}${operator(matcher)}${JSON.stringify(matcher.value)}`;
}

export function operator({ isEqual, isRegex }: Pick<Matcher, 'isEqual' | 'isRegex'>): '=' | '!=' | '=~' | '!~' {
  if (isRegex) return isEqual ? '=~' : '!~';
  return isEqual ? '=' : '!=';
}

/** All alerts, or those that every one of `matchers` matches. */
export function routedAlerts(matchers: Matcher[], signal?: AbortSignal): Promise<RoutedAlert[]> {
  const params = new URLSearchParams(matchers.map((matcher) => ['filter', matcherText(matcher)]));
  return call(`alerts?${params}`, { signal: signal ?? null });
}

export function silences(signal?: AbortSignal): Promise<Silence[]> {
  return call('silences', { signal: signal ?? null });
}

/** Creates a silence and returns its id. */
export async function createSilence(silence: NewSilence): Promise<string> {
  const init = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(silence) };
  return (await call<{ silenceID: string }>('silences', init)).silenceID;
}

export function expireSilence(id: string): Promise<void> {
  return call(`silence/${encodeURIComponent(id)}`, { method: 'DELETE' });
}
