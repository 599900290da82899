/**
 * The only door to @grafana/data and @grafana/ui (both pinned to one version: each major moves parts out of the packages).
 * Everything else imports drawing, units and themes from here; gf.test.ts holds that.
 */
import type { ComponentProps } from 'react';
import { createTheme, type GrafanaTheme2 } from '@grafana/data';
import type { TooltipPlugin2 } from '@grafana/ui';

export { ThemeContext } from '@grafana/data';
export {
  AxisPlacement,
  DrawStyle,
  LineInterpolation,
  PointVisibility,
  ScaleDirection,
  ScaleOrientation,
  TooltipPlugin2,
  UPlotChart,
  UPlotConfigBuilder,
} from '@grafana/ui';

type TooltipHoverMode = ComponentProps<typeof TooltipPlugin2>['hoverMode'];
/** The package declares this as a const enum without exporting it; xyOne = the one series nearest to the pointer. */
export const HOVER_NEAREST_SERIES = 2 as TooltipHoverMode;

/** The chart theme in our own colours: reads the page's CSS properties, so charts follow a theme switch. */
export function chartTheme(mode: 'dark' | 'light'): GrafanaTheme2 {
  const css = getComputedStyle(document.documentElement);
  const colour = (name: string) => css.getPropertyValue(name).trim();
  return createTheme({
    colors: {
      mode,
      background: {
        canvas: colour('--bg'),
        primary: colour('--surface'),
        secondary: colour('--raised'),
        elevated: colour('--raised'),
      },
      text: { primary: colour('--text'), secondary: colour('--muted') },
      border: { weak: colour('--line'), medium: colour('--line'), strong: colour('--line-strong') },
    },
    typography: { fontFamily: css.fontFamily },
  });
}
