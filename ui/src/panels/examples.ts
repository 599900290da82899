/** Queries worth a first look, offered only when the metrics they need exist. */
import type { Metadata } from '../api/prometheus';

export interface Example {
  title: string;
  expr: string;
}

const EXAMPLES: (Example & { needs: string[] })[] = [
  {
    title: 'CPU in use per host (%)',
    expr: '100 * (1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[1m])))',
    needs: ['node_cpu_seconds_total'],
  },
  {
    title: 'CPU time by mode',
    expr: 'sum by (mode) (rate(node_cpu_seconds_total{mode!="idle"}[1m]))',
    needs: ['node_cpu_seconds_total'],
  },
  {
    title: 'Memory in use per host (%)',
    expr: '100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)',
    needs: ['node_memory_MemAvailable_bytes', 'node_memory_MemTotal_bytes'],
  },
  {
    title: 'Fullest filesystems (%)',
    expr: 'topk(5, 100 * (1 - node_filesystem_avail_bytes / node_filesystem_size_bytes))',
    needs: ['node_filesystem_avail_bytes', 'node_filesystem_size_bytes'],
  },
  {
    title: 'Network received (bytes/s)',
    expr: 'sum by (instance, device) (rate(node_network_receive_bytes_total{device!="lo"}[1m]))',
    needs: ['node_network_receive_bytes_total'],
  },
  { title: 'Load average, 1 minute', expr: 'node_load1', needs: ['node_load1'] },
  { title: 'Targets that answer', expr: 'up', needs: ['up'] },
  { title: 'Slowest scrapes', expr: 'topk(5, scrape_duration_seconds)', needs: ['scrape_duration_seconds'] },
  {
    title: 'API requests by status code',
    expr: 'sum by (code) (rate(prometheus_http_requests_total[5m]))',
    needs: ['prometheus_http_requests_total'],
  },
  {
    title: 'API latency, 90th percentile',
    expr: 'histogram_quantile(0.9, sum by (le, handler) (rate(prometheus_http_request_duration_seconds_bucket[5m])))',
    needs: ['prometheus_http_request_duration_seconds_bucket'],
  },
  {
    title: 'Samples stored per second',
    expr: 'rate(prometheus_tsdb_head_samples_appended_total[1m])',
    needs: ['prometheus_tsdb_head_samples_appended_total'],
  },
  { title: 'Memory per process', expr: 'process_resident_memory_bytes', needs: ['process_resident_memory_bytes'] },
];

export function examplesFor(metrics: readonly string[], limit = 6): Example[] {
  const known = new Set(metrics);
  return EXAMPLES.filter(({ needs }) => needs.every((name) => known.has(name))).slice(0, limit);
}

/** The metadata of a metric; the parts of a histogram or summary share their family's. */
export function metadataOf(name: string, all: Record<string, Metadata[]>): Metadata | undefined {
  return (all[name] ?? all[name.replace(/_(bucket|count|sum|total|created|info)$/, '')])?.[0];
}

/** A first query for a metric: counters as a rate, buckets as a quantile, all else as it is. */
export function firstQuery(name: string, type: string | undefined): string {
  const selector = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/.test(name) ? name : `{${JSON.stringify(name)}}`;
  if (name.endsWith('_bucket')) return `histogram_quantile(0.9, sum by (le) (rate(${selector}[5m])))`;
  const counts = type === 'counter' || /_total$/.test(name) || ((type === 'histogram' || type === 'summary') && /_(count|sum)$/.test(name));
  return counts ? `rate(${selector}[5m])` : selector;
}
