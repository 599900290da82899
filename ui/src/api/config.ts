/** Where the pages live and which servers they ask: read once from the JSON the server writes into index.html. */
export interface ServerConfig {
  /** URL prefix of the pages, with a slash at both ends. */
  basePath: string;
  /** Path prefix in front of /api/v1/…, without a slash at the end; '' is the same origin. */
  prometheusUrl: string;
  /** Path prefix in front of /api/v2/…, without a slash at the end. */
  alertmanagerUrl: string;
  version: string;
}

const text = (value: unknown): string => (typeof value === 'string' ? value : '');
const withoutEnd = (prefix: string): string => prefix.replace(/\/+$/, '');

export function parseConfig(json: string | null | undefined, baseUri: string): ServerConfig {
  let raw: Record<string, unknown> = {};
  try {
    raw = JSON.parse(json?.trim() || '{}') as Record<string, unknown>;
  } catch {
    // An unreadable block is the same as none: the pages then ask their own origin.
  }
  const base = text(raw['basePath']) || new URL(baseUri).pathname;
  return {
    basePath: `${withoutEnd(base)}/`,
    prometheusUrl: withoutEnd(text(raw['prometheusUrl'])),
    alertmanagerUrl: withoutEnd(text(raw['alertmanagerUrl'])),
    version: text(raw['version']),
  };
}

export const config: ServerConfig = parseConfig(
  typeof document === 'undefined' ? undefined : document.getElementById('novaobs-config')?.textContent,
  typeof document === 'undefined' ? 'http://localhost/' : document.baseURI,
);
