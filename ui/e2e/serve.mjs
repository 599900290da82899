/**
 * A stand-in for the server's part of the pages: dist/ with a fallback to index.html, the config and <base> filled in,
 * and the APIs passed on. Used by the end-to-end tests; by hand:
 *   node e2e/serve.mjs PORT PROMETHEUS_URL ALERTMANAGER_URL
 */
import { readFile } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../dist/', import.meta.url));
const TYPES = { '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.html': 'text/html; charset=utf-8', '.txt': 'text/plain; charset=utf-8' };

/** Starts serving; `routes` maps path prefixes to upstream base URLs. Returns the base URL of the pages and a close function. */
export async function serve({ port = 0, basePath = '/', prometheusUrl = '', alertmanagerUrl = '', routes }) {
  const config = JSON.stringify({ basePath, prometheusUrl, alertmanagerUrl, version: 'dev' });
  const server = createServer(async (req, res) => {
    const { pathname, search } = new URL(req.url, 'http://localhost');
    const route = Object.keys(routes).find((prefix) => pathname.startsWith(prefix));
    if (route) {
      const target = new URL(routes[route] + pathname.slice(route.length) + search);
      const upstream = request(target, { method: req.method, headers: { ...req.headers, host: target.host } }, (answer) => {
        res.writeHead(answer.statusCode, answer.headers);
        answer.pipe(res);
      });
      upstream.on('error', () => res.writeHead(502).end('upstream is away'));
      req.pipe(upstream);
      return;
    }
    const below = normalize(pathname.startsWith(basePath) ? pathname.slice(basePath.length) : pathname);
    if (below.startsWith('assets/')) {
      const headers = { 'Content-Type': TYPES[extname(below)] ?? 'application/octet-stream', 'Cache-Control': 'public, max-age=31536000, immutable' };
      const packed = await readFile(join(DIST, `${below}.br`)).catch(() => undefined);
      const body = packed ?? (await readFile(join(DIST, below)).catch(() => undefined));
      if (!body) return res.writeHead(404).end();
      res.writeHead(200, packed ? { ...headers, 'Content-Encoding': 'br' } : headers).end(body);
      return;
    }
    const page = (await readFile(join(DIST, 'index.html'), 'utf8'))
      .replace('<base href="/">', `<base href="${basePath}">`)
      .replace('type="application/json">{}<', `type="application/json">${config}<`);
    res.writeHead(200, { 'Content-Type': TYPES['.html'], 'Cache-Control': 'no-cache' }).end(page);
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));
  return { url: `http://127.0.0.1:${server.address().port}${basePath}`, close: () => server.close() };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [port, prometheus, alertmanager] = process.argv.slice(2);
  const { url } = await serve({ port: Number(port), routes: { '/api/v1/': `${prometheus}/api/v1/`, '/api/v2/': `${alertmanager}/api/v2/` } });
  console.log(url);
}
