/** The small decisions behind the panels and pages. */
import { expect, test } from 'vitest';
import { parseConfig } from '../api/config';
import { poolsOf } from '../pages/TargetsPage';
import { pageOf } from '../state/router';
import { runbookOf } from './Annotations';
import { examplesFor, firstQuery } from './examples';
import { isolate } from './Legend';

test('examples need all their metrics', () => {
  expect(examplesFor(['node_memory_MemTotal_bytes', 'up']).map(({ expr }) => expr)).toEqual(['up']);
});

test('first queries fit the kind of metric', () => {
  expect(firstQuery('x_total', undefined)).toBe('rate(x_total[5m])');
  expect(firstQuery('x_bucket', 'histogram')).toBe('histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))');
  expect(firstQuery('jobs_count', 'gauge')).toBe('jobs_count');
  expect(firstQuery('http.requests', 'gauge')).toBe('{"http.requests"}');
});

test('a runbook is a web address, not a script or a template', () => {
  expect(runbookOf({ runbook: 'https://a.example/x' })).toBe('https://a.example/x');
  expect(runbookOf({ runbook_url: 'javascript:alert(1)' })).toBeUndefined();
  expect(runbookOf({ runbook_url: 'https://a.example/{{ $labels.x }}', runbook: 'https://b.example' })).toBe('https://b.example');
});

test('isolating twice shows all again', () => {
  const once = isolate(['a', 'b', 'c'], new Set(), 'b');
  expect([...once]).toEqual(['a', 'c']);
  expect([...isolate(['a', 'b', 'c'], once, 'b')]).toEqual([]);
});

test('pools hold active and dropped targets, with the server\'s own count', () => {
  const dropped = [{ discoveredLabels: { job: 'x' } }];
  const [pool] = poolsOf({ activeTargets: [], droppedTargets: dropped, droppedTargetCounts: { x: 7, y: 0 } });
  expect(pool).toMatchObject({ name: 'x', droppedCount: 7, dropped });
});

test('the configuration falls back to the base element and drops trailing slashes', () => {
  expect(parseConfig('{}', 'http://h/prom/')).toEqual({ basePath: '/prom/', prometheusUrl: '', alertmanagerUrl: '', version: '' });
  expect(parseConfig('{"basePath":"/a","prometheusUrl":"/p/","version":"1.2"}', 'http://h/')).toMatchObject({ basePath: '/a/', prometheusUrl: '/p', version: '1.2' });
  expect(pageOf('/prom/graph/', '/prom/')).toBe('graph');
});
