/** The Prometheus HTTP API (/api/v1): typed calls for the endpoints that the pages use. */
import { config } from './config';
import { ApiError, parseJson, send } from './http';

export type Labels = Record<string, string>;
/** Unix seconds and the value as the server wrote it ("NaN", "+Inf", "0.1"). */
export type Sample = [number, string];
export interface HistogramValue {
  count: string;
  sum: string;
  buckets?: [number, string, string, string][];
}
export interface InstantSeries {
  metric: Labels;
  value?: Sample;
  histogram?: [number, HistogramValue];
}
export interface RangeSeries {
  metric: Labels;
  values?: Sample[];
  histograms?: [number, HistogramValue][];
}
export type QueryData =
  | { resultType: 'vector'; result: InstantSeries[] }
  | { resultType: 'matrix'; result: RangeSeries[] }
  | { resultType: 'scalar' | 'string'; result: Sample };

/** Data with what the server had to say about it, and how long the answer took in milliseconds. */
export interface Answer<T> {
  data: T;
  warnings: string[];
  infos: string[];
  ms: number;
}

interface Envelope<T> {
  status: 'success' | 'error';
  data?: T;
  errorType?: string;
  error?: string;
  warnings?: string[];
  infos?: string[];
}

type Params = Record<string, string | string[] | undefined>;

function encode(params: Params): URLSearchParams {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) out.append(name, one);
  }
  return out;
}

async function call<T>(method: 'GET' | 'POST', path: string, params: Params, signal?: AbortSignal): Promise<Answer<T>> {
  const began = performance.now();
  const encoded = encode(params).toString();
  const url = `${config.prometheusUrl}/api/v1/${path}`;
  const { status, body } =
    method === 'GET'
      ? await send(encoded ? `${url}?${encoded}` : url, { signal: signal ?? null })
      : await send(url, { method, signal: signal ?? null, body: encoded, headers: { 'Content-Type': 'application/x-www-form-urlencoded' } });
  const envelope = parseJson<Envelope<T>>(status, body);
  if (envelope.status !== 'success' || envelope.data === undefined) {
    throw new ApiError(envelope.error ?? `HTTP ${status}`, envelope.errorType ?? `http ${status}`, status);
  }
  return { data: envelope.data, warnings: envelope.warnings ?? [], infos: envelope.infos ?? [], ms: performance.now() - began };
}

/** Instant query at `time` (unix seconds). POST, because expressions can be longer than a URL may be. */
export function query(expr: string, time: number, signal?: AbortSignal) {
  return call<QueryData>('POST', 'query', { query: expr, time: time.toFixed(3) }, signal);
}

/** Range query; start, end and step in unix seconds. */
export function queryRange(expr: string, range: { start: number; end: number; step: number }, signal?: AbortSignal) {
  const { start, end, step } = range;
  return call<QueryData>(
    'POST',
    'query_range',
    { query: expr, start: start.toFixed(3), end: end.toFixed(3), step: String(step) },
    signal,
  );
}

export async function metricNames(signal?: AbortSignal): Promise<string[]> {
  return (await call<string[]>('GET', 'label/__name__/values', {}, signal)).data;
}

export interface Metadata {
  type: string;
  help: string;
  unit: string;
}

export async function metadata(signal?: AbortSignal): Promise<Record<string, Metadata[]>> {
  return (await call<Record<string, Metadata[]>>('GET', 'metadata', {}, signal)).data;
}

export interface ActiveTarget {
  discoveredLabels: Labels;
  labels: Labels;
  scrapePool: string;
  scrapeUrl: string;
  /** The URL with a loopback host replaced by one that other machines can reach. */
  globalUrl: string;
  lastError: string;
  lastScrape: string;
  /** Seconds. */
  lastScrapeDuration: number;
  health: 'up' | 'down' | 'unknown';
  scrapeInterval?: string;
  scrapeTimeout?: string;
}
export interface DroppedTarget {
  discoveredLabels: Labels;
  scrapePool?: string;
}
export interface Targets {
  activeTargets: ActiveTarget[];
  droppedTargets: DroppedTarget[];
  /** Per pool; larger than the list when the server keeps only some of the dropped targets. */
  droppedTargetCounts?: Record<string, number>;
}

export async function targets(signal?: AbortSignal): Promise<Targets> {
  return (await call<Targets>('GET', 'targets', { state: 'any' }, signal)).data;
}

export type AlertState = 'inactive' | 'pending' | 'firing';
export interface ActiveAlert {
  labels: Labels;
  annotations: Labels;
  state: AlertState;
  activeAt: string;
  value: string;
  keepFiringSince?: string;
}
interface RuleBase {
  name: string;
  query: string;
  labels?: Labels;
  health: 'ok' | 'err' | 'unknown';
  lastError?: string;
  lastEvaluation: string;
  /** Seconds. */
  evaluationTime: number;
}
export interface AlertingRule extends RuleBase {
  type: 'alerting';
  state?: AlertState;
  /** Seconds. */
  duration: number;
  /** Seconds. */
  keepFiringFor?: number;
  annotations?: Labels;
  alerts: ActiveAlert[];
}
export interface RecordingRule extends RuleBase {
  type: 'recording';
}
export type Rule = AlertingRule | RecordingRule;
export interface RuleGroup<R extends Rule = Rule> {
  name: string;
  file: string;
  rules: R[];
  /** Seconds. */
  interval: number;
  limit?: number;
  lastEvaluation: string;
  /** Seconds. */
  evaluationTime: number;
}

export async function rules(signal?: AbortSignal): Promise<RuleGroup[]> {
  return (await call<{ groups: RuleGroup[] }>('GET', 'rules', {}, signal)).data.groups;
}

export async function alertingRules(signal?: AbortSignal): Promise<RuleGroup<AlertingRule>[]> {
  return (await call<{ groups: RuleGroup<AlertingRule>[] }>('GET', 'rules', { type: 'alert' }, signal)).data.groups;
}
