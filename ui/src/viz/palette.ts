/** Line colours: far apart for neighbours, readable on both themes. */
const DARK = ['#7c9cff', '#3ec9a7', '#f5b84c', '#f2748c', '#b48cf2', '#56bff0', '#a4cf5a', '#f0915a', '#e07fc8', '#8fa3bf'];
const LIGHT = ['#3b5bdb', '#0c8f72', '#c27803', '#d1345b', '#7a3fd1', '#0f7fb8', '#5c8a12', '#cf5a17', '#b83296', '#5b6b84'];

export function seriesColour(index: number, theme: 'dark' | 'light'): string {
  const palette = theme === 'dark' ? DARK : LIGHT;
  return palette[index % palette.length] ?? '#888888';
}
