/** Build of the pages: what is left out of the bundle, how it is split, and the finished files the server embeds. */
import { fileURLToPath } from 'node:url';
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';
import { compressed } from './scripts/compressed.ts';
import { thirdPartyNotices } from './scripts/notices.ts';

const local = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const empty = local('./src/viz/absent.ts');

export default defineConfig(() => ({
  // Relative URLs: the server mounts the pages under any prefix by rewriting <base href>.
  base: './',
  plugins: [react(), thirdPartyNotices(), compressed()],
  resolve: {
    alias: [
      // The full time zone history is 700 kB; ten years of it cover what a monitoring page shows.
      { find: /^moment-timezone$/, replacement: local('./node_modules/moment-timezone/builds/moment-timezone-with-data-10-year-range.js') },
      // Reached only from editors, maps and text measuring of @grafana/ui that no page uses.
      { find: /^react-dom\/server$/, replacement: empty },
      { find: /^monaco-editor(\/.*)?$/, replacement: empty },
      { find: /^@monaco-editor\/react$/, replacement: empty },
      { find: /^ol(\/.*)?$/, replacement: empty },
    ],
  },
  build: {
    target: 'es2022',
    chunkSizeWarningLimit: 900,
    assetsInlineLimit: 0,
  },
  // `npm run dev`: the pages with hot reload, data from any server that speaks the APIs.
  server: {
    proxy: {
      '/api/v1': process.env['NOVAOBS_PROM_URL'] ?? 'http://127.0.0.1:9090',
      '/api/v2': process.env['NOVAOBS_ALERTMANAGER_URL'] ?? 'http://127.0.0.1:9093',
    },
  },
  test: { include: ['src/**/*.test.ts'] },
}));
