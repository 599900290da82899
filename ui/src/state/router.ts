/** Client-side routing over the history API: real paths below the configured base path. */
import { useMemo, useSyncExternalStore } from 'react';
import { config } from '../api/config';

export interface Location {
  /** Path below the base path, without slashes at the ends: "explore", "targets". */
  page: string;
  /** Query string with its question mark, or ''. */
  search: string;
}

const listeners = new Set<() => void>();
const notify = () => listeners.forEach((listener) => listener());

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) window.addEventListener('popstate', notify);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) window.removeEventListener('popstate', notify);
  };
}

/** The page named by a full URL path, given where the pages are mounted. */
export function pageOf(pathname: string, basePath: string): string {
  const below = pathname.startsWith(basePath) ? pathname.slice(basePath.length) : pathname;
  return below.replace(/^\/+|\/+$/g, '');
}

/** Full path of "targets" or "explore?g0.expr=up". */
export function href(to: string): string {
  return config.basePath + to;
}

export function navigate(to: string, how: 'push' | 'replace' = 'push'): void {
  const target = href(to);
  if (target === window.location.pathname + window.location.search) return;
  if (how === 'push') window.history.pushState(null, '', target);
  else window.history.replaceState(null, '', target);
  notify();
}

export function useLocation(): Location {
  const pathname = useSyncExternalStore(subscribe, () => window.location.pathname);
  const search = useSyncExternalStore(subscribe, () => window.location.search);
  return useMemo(() => ({ page: pageOf(pathname, config.basePath), search }), [pathname, search]);
}
