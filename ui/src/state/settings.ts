/** The reader's theme and time zone: one store, remembered, seen by every component. */
import { useSyncExternalStore } from 'react';
import { remember, remembered } from './storage';

export type Theme = 'dark' | 'light';
/** `system` follows prefers-color-scheme. */
export type ThemeChoice = Theme | 'system';
export type Zone = 'browser' | 'utc';

export interface Settings {
  choice: ThemeChoice;
  theme: Theme;
  zone: Zone;
}

const prefersDark = typeof matchMedia === 'undefined' ? undefined : matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();
let current: Settings = load();

function load(): Settings {
  const stored = remembered('theme');
  const choice: ThemeChoice = stored === 'dark' || stored === 'light' ? stored : 'system';
  const system: Theme = prefersDark && !prefersDark.matches ? 'light' : 'dark';
  return { choice, theme: choice === 'system' ? system : choice, zone: remembered('zone') === 'utc' ? 'utc' : 'browser' };
}

function changed(): void {
  current = load();
  document.documentElement.dataset['theme'] = current.theme;
  for (const listener of listeners) listener();
}

/** Applies the stored settings to the document and starts following the system's theme; called once before the first render. */
export function startSettings(): void {
  prefersDark?.addEventListener('change', changed);
  changed();
}

export function setTheme(choice: ThemeChoice): void {
  remember('theme', choice === 'system' ? undefined : choice);
  changed();
}

export function setZone(zone: Zone): void {
  remember('zone', zone);
  changed();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useSettings(): Settings {
  return useSyncExternalStore(subscribe, () => current);
}
