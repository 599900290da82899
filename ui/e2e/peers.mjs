/** Starts Debian's node exporter, Prometheus and Alertmanager on free ports as a known backend for the pages. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Asks until `ok` accepts the answer, for at most `seconds`. */
export async function until(url, ok, seconds = 60) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; ) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.ok && (await ok(answer))) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`${url} was not ready within ${seconds} s`);
}

const prometheusYml = (ports) => `
global: { scrape_interval: 1s, evaluation_interval: 1s }
rule_files: [rules.yml]
alerting: { alertmanagers: [ { static_configs: [ { targets: ['127.0.0.1:${ports.alertmanager}'] } ] } ] }
scrape_configs:
  - job_name: prometheus
    static_configs: [ { targets: ['127.0.0.1:${ports.prometheus}'] } ]
  - job_name: node
    static_configs: [ { targets: ['127.0.0.1:${ports.node}'], labels: { rack: a1 } } ]
  - job_name: broken
    static_configs: [ { targets: ['127.0.0.1:1'] } ]
  - job_name: dropped
    static_configs: [ { targets: ['127.0.0.1:2'] } ]
    relabel_configs: [ { action: drop, source_labels: [__address__], regex: '.*:2' } ]
`;

const RULES = `
groups:
  - name: hosts
    rules:
      - { record: 'instance:node_cpu_busy:ratio', expr: '1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[30s]))' }
      - alert: TargetDown
        expr: up == 0
        labels: { severity: page }
        annotations:
          summary: '{{ $labels.instance }} of {{ $labels.job }} does not answer'
          description: 'See https://wiki.example.org/scraping, then restart it.'
          runbook_url: 'https://runbooks.example.org/TargetDown'
      - { alert: HostBusy, expr: 'node_load1 >= 0', for: 1h, labels: { severity: ticket } }
  - name: storage
    interval: 5s
    rules:
      - { alert: HeadEmpty, expr: 'prometheus_tsdb_head_series == 0', for: 5m, keep_firing_for: 10m, annotations: { runbook: 'https://runbooks.example.org/HeadEmpty' } }
`;

const ALERTMANAGER_YML = 'route: { receiver: nobody, group_wait: 1s }\nreceivers: [ { name: nobody } ]\n';

/** Resolves with the URLs of Prometheus and Alertmanager once data is there, and with a function that stops them all. */
export async function startPeers() {
  const dir = await mkdtemp(join(tmpdir(), 'novaobs-e2e-'));
  const ports = { node: await freePort(), prometheus: await freePort(), alertmanager: await freePort() };
  await writeFile(join(dir, 'prometheus.yml'), prometheusYml(ports));
  await writeFile(join(dir, 'rules.yml'), RULES);
  await writeFile(join(dir, 'alertmanager.yml'), ALERTMANAGER_YML);
  const start = (command, ...args) => spawn(command, args, { cwd: dir, stdio: 'ignore' });
  const children = [
    start('prometheus-node-exporter', `--web.listen-address=127.0.0.1:${ports.node}`),
    start('prometheus-alertmanager', '--config.file=alertmanager.yml', '--storage.path=alertmanager', '--cluster.listen-address=', `--web.listen-address=127.0.0.1:${ports.alertmanager}`),
    start('prometheus', '--config.file=prometheus.yml', '--storage.tsdb.path=data', `--web.listen-address=127.0.0.1:${ports.prometheus}`),
  ];
  const stop = async () => {
    await Promise.all(children.map((child) => new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve).kill() : resolve()))));
    await rm(dir, { recursive: true, force: true });
  };
  const prometheus = `http://127.0.0.1:${ports.prometheus}`;
  const alertmanager = `http://127.0.0.1:${ports.alertmanager}`;
  try {
    const found = (query) => until(`${prometheus}/api/v1/query?query=${encodeURIComponent(query)}`, async (answer) => (await answer.json()).data.result.length > 0);
    await found('rate(node_cpu_seconds_total[30s])');
    await found('ALERTS{alertstate="firing"}');
    await until(`${alertmanager}/api/v2/alerts`, async (answer) => (await answer.json()).length > 0);
  } catch (error) {
    await stop();
    throw error;
  }
  return { prometheus, alertmanager, stop };
}
