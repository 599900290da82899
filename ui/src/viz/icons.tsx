/** Our own line icons, drawn on a 20 by 20 grid in the text's colour. */
import type { ReactNode } from 'react';

const PATHS = {
  explore: 'M3 16.500h14M4 13l4-5 3 3 5-7',
  targets: 'M10 2.500v3M10 14.500v3M2.5 10h3M14.5 10h3M10 15a5 5 0 1 0 0-10 5 5 0 0 0 0 10Zm0-3.500a1.5 1.5 0 1 0 0-3 1.5 1.5 0 0 0 0 3Z',
  alerts: 'M10 3a4.5 4.5 0 0 0-4.5 4.500c0 4-2 5.5-2 5.500h13s-2-1.5-2-5.500A4.5 4.5 0 0 0 10 3Zm-1.7 13a2 2 0 0 0 3.4 0',
  rules: 'M4 5.500l1.3 1.300L7.5 4.500M4 13.500l1.3 1.3 2.2-2.300M10.5 6h6M10.5 14h6',
  sun: 'M10 13.500a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7ZM10 2v1.500M10 16.500V18M2 10h1.500M16.5 10H18M4.3 4.300l1.1 1.100M14.6 14.600l1.1 1.100M4.3 15.700l1.1-1.100M14.6 5.400l1.1-1.1',
  moon: 'M16.5 11.500A6.5 6.5 0 0 1 8.5 3.500a6.5 6.5 0 1 0 8 8Z',
  system: 'M3 4h14v9.500H3zM7.5 17h5M10 13.500V17',
  plus: 'M10 4v12M4 10h12',
  close: 'M5 5l10 10M15 5L5 15',
  eye: 'M2 10s3-5.5 8-5.5 8 5.5 8 5.5-3 5.5-8 5.500S2 10 2 10Zm8 2.300a2.3 2.3 0 1 0 0-4.6 2.3 2.3 0 0 0 0 4.600Z',
  eyeOff: 'M3 3l14 14M8.3 4.700c.6-.1 1.1-.2 1.7-.2 5 0 8 5.5 8 5.500a14 14 0 0 1-2.3 2.900M5.2 6.400A13.4 13.4 0 0 0 2 10s3 5.5 8 5.500c1.4 0 2.6-.4 3.7-1',
  refresh: 'M16.5 8A6.8 6.8 0 0 0 4.3 6.500M3.5 3v3.800h3.800M3.5 12a6.8 6.8 0 0 0 12.2 1.500M16.5 17v-3.800h-3.8',
  clock: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm0-11v4l2.7 1.7',
  chevron: 'M7.5 5l5 5-5 5',
  down: 'M5 7.500l5 5 5-5',
  left: 'M12.5 5l-5 5 5 5',
  search: 'M9 14.500a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11Zm4-1.500l4 4',
  link: 'M8.5 11.500l3-3M7 9.500l-2 2a2.5 2.5 0 0 0 3.5 3.500l2-2M13 10.500l2-2A2.5 2.5 0 0 0 11.5 5l-2 2',
  book: 'M10 5.500C8.5 4.3 6 4 3 4v11c3 0 5.5.3 7 1.5 1.5-1.2 4-1.5 7-1.500V4c-3 0-5.5.3-7 1.500Zm0 0v11',
  warning: 'M10 3.500l7.5 13h-15zM10 8.500v3.500M10 14.300v.1',
  info: 'M10 17a7 7 0 1 0 0-14 7 7 0 0 0 0 14Zm0-8v5M10 6.300v.1',
  play: 'M6 4.500v11l9-5.500z',
  mute: 'M3 3l14 14M7 4.200A4.5 4.5 0 0 1 14.5 7.500c0 1.4.2 2.5.6 3.300M14 13H3.500s2-1.5 2-5.500M8.3 16a2 2 0 0 0 3.4 0',
  list: 'M7 5.500h10M7 10h10M7 14.500h10M3.5 5.500h.1M3.5 10h.1M3.5 14.500h.1',
  zoomOut: 'M9 14.500a5.5 5.5 0 1 0 0-11 5.5 5.5 0 0 0 0 11Zm4-1.500l4 4M6.8 9h4.4',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 18 }: { name: IconName; size?: number }): ReactNode {
  return (
    <svg className="icon" width={size} height={size} viewBox="0 0 20 20" fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

export function Logo({ size = 28 }: { size?: number }): ReactNode {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true">
      <path fill="var(--accent)" d="M16 3c1.3 7.6 4.2 11.2 13 13-8.8 1.8-11.7 5.4-13 13-1.3-7.6-4.2-11.2-13-13 8.8-1.8 11.7-5.4 13-13z" />
      <circle cx="25.5" cy="6.5" r="2.3" fill="var(--second)" />
    </svg>
  );
}
