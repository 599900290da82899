/**
 * End-to-end tests in Chromium. NOVAOBS_URL (and NOVAOBS_PROM_URL for the :9090 face) name running servers; without them Debian's
 * Prometheus and Alertmanager stand behind e2e/serve.mjs. Screenshots go to e2e/out. Arguments select tests by name.
 */
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { startPeers } from './peers.mjs';
import { serve } from './serve.mjs';

const OUT = fileURLToPath(new URL('./out/', import.meta.url));
const FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const SIZES = { wide: { width: 1280, height: 800 }, narrow: { width: 390, height: 844 } };

async function backend() {
  const given = process.env.NOVAOBS_URL;
  if (given) return { url: slash(given), promUrl: slash(process.env.NOVAOBS_PROM_URL ?? given), stop: async () => {} };
  const peers = await startPeers();
  const proxy = '/api/datasources/proxy/uid/prometheus';
  const pages = await serve({ prometheusUrl: proxy, routes: { [`${proxy}/`]: `${peers.prometheus}/`, '/api/v2/': `${peers.alertmanager}/api/v2/` } });
  // The :9090 face under a route prefix, as behind a reverse proxy.
  const prom = await serve({
    basePath: '/prom/',
    prometheusUrl: '/prom',
    alertmanagerUrl: '/prom',
    routes: { '/prom/api/v1/': `${peers.prometheus}/api/v1/`, '/prom/api/v2/': `${peers.alertmanager}/api/v2/` },
  });
  return {
    url: pages.url,
    promUrl: prom.url,
    stop: async () => {
      pages.close();
      prom.close();
      await peers.stop();
    },
  };
}

const slash = (url) => (url.endsWith('/') ? url : `${url}/`);

const { url, promUrl, stop } = await backend();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: FLAGS });
const hosts = new Set([new URL(url).host, new URL(promUrl).host]);

/** Runs `steps` in a fresh page, then fails on console noise, on page errors and on requests to any other host. */
async function visit({ size = 'wide', scheme = 'dark', quiet = true }, steps) {
  const context = await browser.newContext({ viewport: SIZES[size], colorScheme: scheme, locale: 'en-US' });
  const page = await context.newPage();
  page.setDefaultTimeout(15000);
  const noise = [];
  const outside = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && noise.push(message.text()));
  page.on('pageerror', (error) => noise.push(String(error)));
  page.on('request', (request) => {
    const target = new URL(request.url());
    if (target.protocol.startsWith('http') && !hosts.has(target.host)) outside.push(request.url());
  });
  try {
    await steps(page);
  } catch (error) {
    await page.screenshot({ path: `${OUT}failed.png` });
    throw error;
  } finally {
    await context.close();
  }
  if (quiet) assert.deepEqual(noise, [], 'console errors and warnings');
  assert.deepEqual(outside, [], 'requests to other hosts');
}

/** Pixels of the graph's canvas that are clearly coloured: lines, not grid, axes or background. */
const colouredPixels = (page) =>
  page.locator('[data-testid=graph] canvas').first().evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let at = 0; at < data.length; at += 4) {
      const spread = Math.max(data[at], data[at + 1], data[at + 2]) - Math.min(data[at], data[at + 1], data[at + 2]);
      if (data[at + 3] > 128 && spread > 60) count++;
    }
    return count;
  });

async function drawn(page) {
  await page.locator('[data-testid=graph] canvas').first().waitFor();
  for (const end = Date.now() + 10000; Date.now() < end; ) {
    if ((await colouredPixels(page)) > 100) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail('the graph shows no line');
}

async function type(page, expr, row = 0) {
  const editor = page.locator('.cm-content').nth(row);
  await editor.click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.type(expr);
}

/** Nothing may stick out to the right: the page would scroll sideways on a telephone. */
async function fits(page) {
  const [scroll, width] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  assert.ok(scroll <= width, `the page is ${scroll} px wide on a ${width} px screen`);
}

const CPU = 'sum by (mode) (rate(node_cpu_seconds_total[30s]))';
const explore = (expr, rest = '&g0.tab=graph&g0.range_input=5m') => `explore?g0.expr=${encodeURIComponent(expr)}${rest}`;

const PAGES = {
  start: ['explore', (page) => page.getByText('Start with').waitFor()],
  graph: [explore(CPU), drawn],
  table: [explore('up', '&g0.tab=table'), (page) => page.getByTestId('results').waitFor()],
  error: [explore('rate(up[5m)', '&g0.tab=graph'), (page) => page.getByText('parse error').first().waitFor()],
  targets: ['targets', (page) => page.getByTestId('target').first().waitFor()],
  alerts: ['alerts', (page) => page.getByTestId('alert').first().waitFor()],
  notifications: ['alerts?view=notifications', (page) => page.getByTestId('routed').first().waitFor()],
  silences: ['alerts?view=silences', (page) => page.getByText('New silence').waitFor()],
  rules: ['rules', (page) => page.getByTestId('rule').first().waitFor()],
};

const tests = {
  async 'every page is clean at both widths in both themes'() {
    for (const size of Object.keys(SIZES)) {
      for (const scheme of ['dark', 'light']) {
        for (const [name, [path, ready]] of Object.entries(PAGES)) {
          // A refused query answers 400, which the browser itself logs.
          await visit({ size, scheme, quiet: name !== 'error' }, async (page) => {
            await page.goto(url + path);
            await ready(page);
            await page.locator('.promql .cm-content').first().waitFor({ state: path.startsWith('explore') ? 'visible' : 'detached' });
            await fits(page);
            await page.screenshot({ path: `${OUT}${name}-${size}-${scheme}.png` });
          });
        }
      }
    }
  },

  async 'the editor completes metric names and Ctrl+Enter draws'() {
    await visit({}, async (page) => {
      await page.goto(`${url}explore`);
      await type(page, 'node_cpu_sec');
      const offered = (text) => page.locator('.cm-tooltip-autocomplete li', { hasText: text }).first().waitFor();
      await offered('node_cpu_seconds_total');
      await page.screenshot({ path: `${OUT}completion.png` });
      await page.keyboard.press('Escape');
      await type(page, 'node_cpu_seconds_total{mo');
      await offered('mode');
      await page.keyboard.press('Enter');
      await page.keyboard.type('="');
      await offered('idle');
      await page.keyboard.press('Escape');
      await type(page, 'histogram_q');
      await offered('histogram_quantile');
      await page.keyboard.press('Escape');
      await type(page, 'node_load1');
      await page.keyboard.press('Escape');
      await page.keyboard.press('Control+Enter');
      await page.locator('[data-testid=graph] canvas').first().waitFor();
      assert.match(page.url(), /g0\.expr=node_load1/);
      await page.getByText('1 series ·').waitFor();
    });
  },

  async 'a syntax error is shown as the server said it'() {
    await visit({ quiet: false }, async (page) => {
      await page.goto(url + explore('sum(up', '&g0.tab=table'));
      await page.getByRole('alert').getByText(/bad_data.*1:7: parse error/).waitFor();
    });
  },

  async 'a server that goes away leaves the old graph and says so'() {
    await visit({ quiet: false }, async (page) => {
      await page.goto(url + explore('vector(30)'));
      await drawn(page);
      await page.route('**/api/v1/query_range', (route) => route.abort());
      await page.getByRole('button', { name: 'Refresh now' }).click();
      await page.getByRole('alert').getByText('no answer from').waitFor();
      await drawn(page);
    });
  },

  async 'legend isolates, drag zooms, back returns'() {
    await visit({}, async (page) => {
      // Two lines across the whole range, however short the stored history is.
      await page.goto(url + explore('time() % 60', '&g0.tab=graph&g0.range_input=5m&g1.expr=vector(30)'));
      await drawn(page);
      const names = page.locator('.legend-name');
      await names.nth(1).click();
      assert.equal(await page.locator('.legend tr.off').count(), (await names.count()) - 1);
      await names.nth(1).click();
      assert.equal(await page.locator('.legend tr.off').count(), 0);
      const box = await page.locator('.u-over').boundingBox();
      await page.mouse.move(box.x + box.width * 0.9, box.y + box.height / 2);
      await page.mouse.move(box.x + box.width * 0.95, box.y + box.height / 2);
      await page.locator('.tooltip').waitFor();
      await page.mouse.move(box.x + box.width * 0.96, box.y + box.height * 0.4);
      await page.waitForFunction(() => document.querySelector('.tooltip').getBoundingClientRect().right <= innerWidth);
      await page.screenshot({ path: `${OUT}tooltip.png` });
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.5, box.y + box.height / 2, { steps: 5 });
      await page.mouse.up();
      await page.waitForURL(/g0\.end_input=/);
      await page.goBack();
      assert.doesNotMatch(page.url(), /end_input/);
    });
  },

  async 'a relative and an absolute range can be chosen'() {
    for (const size of Object.keys(SIZES)) {
      await visit({ size }, async (page) => {
        await page.goto(url + explore('up'));
        await page.getByRole('button', { name: /^Time range/ }).click();
        await page.screenshot({ path: `${OUT}range-${size}.png` });
        await page.getByRole('button', { name: 'Last 15 minutes' }).click();
        await page.waitForURL(/range_input=15m/);
        await page.getByRole('button', { name: /^Time range/ }).click();
        await page.getByLabel('From').fill('2026-01-31 08:00');
        await page.getByLabel('To', { exact: true }).fill('2026-01-31 10:00');
        await page.getByRole('button', { name: 'Apply' }).click();
        await page.waitForURL(/range_input=2h.*end_input=2026-01-31/);
        await page.getByText('No data').waitFor();
      });
    }
  },

  async 'many series do not freeze the page'() {
    await visit({}, async (page) => {
      await page.route('**/api/v1/query_range', (route) => {
        const sent = new URLSearchParams(route.request().postData());
        const times = [];
        for (let time = Number(sent.get('start')); time <= Number(sent.get('end')); time += Number(sent.get('step'))) times.push(time);
        const result = Array.from({ length: 3000 }, (_, index) => ({ metric: { __name__: 'many', index: String(index) }, values: times.map((time) => [time, String((time % 60) + index)]) }));
        return route.fulfill({ json: { status: 'success', data: { resultType: 'matrix', result }, warnings: ['a warning of the server'], infos: ['an info of the server'] } });
      });
      await page.route('**/api/v1/query', (route) => {
        const result = Array.from({ length: 3000 }, (_, index) => ({ metric: { __name__: 'many', index: String(index) }, value: [0, String(index)] }));
        return route.fulfill({ json: { status: 'success', data: { resultType: 'vector', result } } });
      });
      await page.goto(url + explore('many'));
      await page.getByText('Drawing the first 100 of 3,000 series').waitFor();
      await page.getByText('a warning of the server').waitFor();
      await page.getByText('an info of the server').waitFor();
      await drawn(page);
      await page.screenshot({ path: `${OUT}many.png` });
      await page.getByRole('button', { name: 'Draw 2,000' }).click();
      await page.getByText('Drawing the first 2,000 of 3,000 series').waitFor();
      assert.equal(await page.locator('.legend tbody tr').count(), 2000);
      await page.getByRole('button', { name: 'Show all in the table' }).click();
      await page.getByRole('button', { name: 'Show all 3,000 lines' }).click();
      assert.equal(await page.locator('.result-table tbody tr').count(), 3000);
    });
  },

  async 'NaN and infinity are named, several queries share a graph'() {
    await visit({}, async (page) => {
      await page.goto(`${url}explore?g0.expr=${encodeURIComponent('vector(1)/0')}&g0.tab=both&g1.expr=vector(2)&g1.tab=both`);
      await page.getByText('cannot be drawn').waitFor();
      await page.getByText('+Inf').waitFor();
      await drawn(page);
      await page.getByRole('button', { name: 'Hide query B' }).click();
      await page.waitForURL(/g1\.hidden=1/);
    });
  },

  async 'targets show the failure and both label sets'() {
    await visit({}, async (page) => {
      await page.goto(`${url}targets`);
      const failing = page.getByTestId('target').filter({ has: page.locator('.error-text') });
      const target = failing.first();
      await target.locator('.line-toggle').click();
      await target.getByText('Labels before relabelling').waitFor();
      await target.getByText('__address__').waitFor();
      await page.screenshot({ path: `${OUT}targets-open.png` });
      await page.getByText('Down', { exact: true }).click();
      for (const badge of await page.getByTestId('target').locator('.badge').allTextContents()) assert.equal(badge, 'down');
    });
  },

  async 'a firing alert has its runbook; a silence is created and expired'() {
    await visit({}, async (page) => {
      await page.goto(`${url}alerts`);
      const runbook = page.getByRole('link', { name: 'Runbook' }).first();
      assert.match(await runbook.getAttribute('href'), /^https:\/\//);
      await page.getByTestId('alert').first().getByRole('button', { name: 'Silence' }).click();
      await page.getByText(/Mutes \d+ alerts? now/).waitFor();
      const reason = `end-to-end ${Date.now()}`;
      await page.getByLabel('Author').fill('tester');
      await page.getByLabel('Reason').fill(reason);
      await page.screenshot({ path: `${OUT}silence-dialog.png` });
      await page.getByRole('button', { name: 'Create silence' }).click();
      await page.getByRole('button', { name: 'Show silences' }).click();
      const line = page.getByTestId('silence').filter({ hasText: reason });
      await line.waitFor();
      await page.screenshot({ path: `${OUT}silence-created.png` });
      await line.getByRole('button', { name: 'Expire' }).click();
      await line.getByRole('button', { name: 'Click again to expire' }).click();
      await line.waitFor({ state: 'detached' });
    });
  },

  async 'the silence form fits a telephone'() {
    await visit({ size: 'narrow', scheme: 'light' }, async (page) => {
      await page.goto(`${url}alerts`);
      await page.getByTestId('alert').first().getByRole('button', { name: 'Silence' }).click();
      await page.getByText(/Mutes \d+ alerts? now/).waitFor();
      await fits(page);
      await page.screenshot({ path: `${OUT}silence-dialog-narrow.png` });
    });
  },

  async 'the theme switch is remembered'() {
    await visit({ scheme: 'dark' }, async (page) => {
      await page.goto(`${url}rules`);
      await page.getByRole('button', { name: /^Theme: system/ }).click();
      await page.reload();
      await page.getByRole('button', { name: /^Theme: light/ }).waitFor();
      assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'light');
    });
  },

  async 'links of the :9090 face work'() {
    await visit({}, async (page) => {
      await page.goto(`${promUrl}graph?g0.expr=up+%3D%3D+0&g0.tab=1`);
      await page.getByTestId('results').getByText('job').first().waitFor();
      await page.goto(`${promUrl}query?g0.expr=up&g0.tab=0&g0.range_input=5m`);
      await drawn(page);
      await page.getByRole('link', { name: 'Alerts' }).click();
      await page.getByTestId('rule').first().waitFor();
      assert.equal(new URL(page.url()).pathname, `${new URL(promUrl).pathname}alerts`);
    });
  },

  async 'the keyboard reaches everything'() {
    await visit({}, async (page) => {
      await page.goto(`${url}targets`);
      await page.getByTestId('target').first().waitFor();
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
      for (let at = 0; at < 4; at++) await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      await page.waitForURL(/alerts$/);
    });
  },

  async 'Explore loads within two seconds'() {
    await visit({}, async (page) => {
      const session = await page.context().newCDPSession(page);
      await session.send('Performance.enable', { timeDomain: 'threadTicks' });
      const began = Date.now();
      await page.goto(url + explore(CPU));
      await drawn(page);
      const wall = Date.now() - began;
      const { metrics } = await session.send('Performance.getMetrics');
      const metric = (name) => metrics.find((one) => one.name === name).value;
      console.log(`    graph drawn after ${wall} ms, main thread ${Math.round(metric('TaskDuration') * 1000)} ms CPU, heap ${Math.round(metric('JSHeapUsedSize') / 1e6)} MB`);
      // Main-thread CPU, not wall time: the machine that runs the tests may be busy.
      assert.ok(metric('TaskDuration') < 2, 'more than 2 s of main-thread CPU');
    });
  },
};

await mkdir(OUT, { recursive: true });
const wanted = process.argv.slice(2);
let failures = 0;
for (const [name, test] of Object.entries(tests)) {
  if (wanted.length > 0 && !wanted.some((part) => name.includes(part))) continue;
  const began = Date.now();
  try {
    await test();
    console.log(`ok    ${name} (${Date.now() - began} ms)`);
  } catch (error) {
    failures += 1;
    console.log(`FAIL  ${name}\n${error.stack}`);
  }
}
await browser.close();
await stop();
process.exitCode = failures > 0 ? 1 : 0;
