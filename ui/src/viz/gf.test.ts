/** Holds the walls: one door to the chart packages, pinned versions, and a lock file without addresses. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const SRC = new URL('..', import.meta.url).pathname;
const sources = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((name) => /\.tsx?$/.test(name));

test('only viz/gf.ts imports @grafana packages', () => {
  const importing = sources.filter((name) => /(from|import)\s*\(?\s*['"]@grafana\//.test(readFileSync(join(SRC, name), 'utf8')));
  expect(importing).toEqual(['viz/gf.ts']);
});

test('every source file opens with what it is about', () => {
  expect(sources.filter((name) => !readFileSync(join(SRC, name), 'utf8').startsWith('/**'))).toEqual([]);
});

test('the chart packages are pinned to one version and the lock file names no host', () => {
  const manifest = JSON.parse(readFileSync(join(SRC, '../package.json'), 'utf8')) as { dependencies: Record<string, string> };
  expect([manifest.dependencies['@grafana/data'], manifest.dependencies['@grafana/ui']]).toEqual(['13.2.2', '13.2.2']);
  expect(readFileSync(join(SRC, '../package-lock.json'), 'utf8')).not.toMatch(/"resolved": "(?!file:)/);
});
