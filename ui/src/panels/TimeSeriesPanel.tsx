/** The graph: lines over time with a tooltip, zoom by dragging and a legend that isolates series. Loaded with its own chunk. */
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, type ReactNode } from 'react';
import { useSettings, type Theme, type Zone } from '../state/settings';
import { numberText, timeText } from '../viz/format';
import { lonelyPoints, stack, type Frame } from '../viz/frame';
import {
  AxisPlacement,
  chartTheme,
  DrawStyle,
  HOVER_NEAREST_SERIES,
  LineInterpolation,
  PointVisibility,
  ScaleDirection,
  ScaleOrientation,
  ThemeContext,
  TooltipPlugin2,
  UPlotChart,
  UPlotConfigBuilder,
} from '../viz/gf';
import { seriesColour } from '../viz/palette';
import { Legend } from './Legend';

interface Props {
  frame: Frame;
  /** Milliseconds; the whole asked range is shown, also where there are no samples. */
  from: number;
  to: number;
  stacked: boolean;
  onZoom: (from: number, to: number) => void;
}

type Plot = Parameters<NonNullable<Parameters<UPlotConfigBuilder['addHook']>[1]>>[0];

interface Drawing {
  theme: Theme;
  zone: Zone;
  stacked: boolean;
  /** Read at every draw, so that a moved range needs no new plot. */
  range: () => [number, number];
}

function plotConfig(frame: Frame, { theme, zone, stacked, range }: Drawing): UPlotConfigBuilder {
  const look = chartTheme(theme);
  const builder = new UPlotConfigBuilder(zone);
  // Room for a time label under the right end.
  builder.setPadding([8, 24, 0, 0]);
  builder.addScale({ scaleKey: 'x', isTime: true, orientation: ScaleOrientation.Horizontal, direction: ScaleDirection.Right, range });
  builder.addAxis({ scaleKey: 'x', isTime: true, placement: AxisPlacement.Bottom, timeZone: zone, theme: look });
  // Areas mean something only from zero.
  const softMin = stacked ? 0 : null;
  builder.addScale({ scaleKey: 'y', orientation: ScaleOrientation.Vertical, direction: ScaleDirection.Up, softMin });
  builder.addAxis({ scaleKey: 'y', placement: AxisPlacement.Left, theme: look, formatValue: numberText });
  // The tooltip names the nearest series however far the pointer is from its line.
  builder.setCursor({ points: { one: true }, focus: { prox: 1e6 } });
  frame.columns.forEach((_, index) => {
    const lineColor = seriesColour(index, theme);
    builder.addSeries({
      scaleKey: 'y',
      theme: look,
      drawStyle: DrawStyle.Line,
      lineInterpolation: LineInterpolation.Linear,
      lineColor,
      lineWidth: frame.columns.length > 40 ? 1 : 1.5,
      fillOpacity: stacked ? 28 : frame.columns.length === 1 ? 10 : 0,
      showPoints: PointVisibility.Auto,
      pointSize: 4,
      pointColor: lineColor,
      pointsFilter: (plot, seriesIdx) => lonelyPoints((plot.data[seriesIdx] ?? []) as (number | null)[]),
      spanNulls: false,
      pxAlign: false,
    });
  });
  if (stacked) for (let index = 2; index <= frame.columns.length; index++) builder.addBand({ series: [index, index - 1] });
  return builder;
}

function useWidth(): [React.RefObject<HTMLDivElement | null>, number] {
  const ref = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(Math.floor(element.clientWidth)));
    observer.observe(element);
    setWidth(Math.floor(element.clientWidth));
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

export default function TimeSeriesPanel({ frame, from, to, stacked, onZoom }: Props): ReactNode {
  const { theme, zone } = useSettings();
  const [box, width] = useWidth();
  const [plot, setPlot] = useState<Plot | null>(null);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());
  const rangeRef = useRef<[number, number]>([from, to]);
  rangeRef.current = [from, to];

  const identity = frame.columns.map((column) => column.key).join('\n');
  // The frame's values change on every refresh; only other series, colours or units need a new plot.
  const config = useMemo(() => plotConfig(frame, { theme, zone, stacked, range: () => rangeRef.current }), [identity, theme, zone, stacked]);
  const look = useMemo(() => chartTheme(theme), [theme]);

  const data = useMemo(() => {
    const columns = frame.columns.map((column) => (hidden.has(column.key) ? column.values.map(() => null) : column.values));
    return [frame.times, ...(stacked ? stack(columns) : columns)] as [number[], ...(number | null)[][]];
  }, [frame, stacked, hidden]);

  useEffect(() => {
    if (!plot) return;
    plot.batch(() => {
      frame.columns.forEach((column, index) => {
        const show = !hidden.has(column.key);
        if (plot.series[index + 1] && plot.series[index + 1]?.show !== show) plot.setSeries(index + 1, { show });
      });
    });
  }, [plot, frame, hidden]);

  const focus = useCallback(
    (index: number | null) => plot?.setSeries(index === null ? null : index + 1, { focus: true }),
    [plot],
  );

  const height = width > 0 && width < 560 ? 240 : 340;
  return (
    <ThemeContext.Provider value={look}>
      <div className="graph" ref={box} data-testid="graph">
        {width > 0 && (
          <UPlotChart data={data} config={config} width={width} height={height} plotRef={setPlot}>
            <TooltipPlugin2
              config={config}
              hoverMode={HOVER_NEAREST_SERIES}
              queryZoom={(selection) => onZoom(selection.from, selection.to)}
              maxWidth={Math.min(560, window.innerWidth - 32)}
              render={(_plot, indexes, nearest) => (
                <PointTooltip frame={frame} seriesIdx={nearest} index={nearest === null ? null : (indexes[nearest] ?? null)} theme={theme} zone={zone} />
              )}
            />
          </UPlotChart>
        )}
      </div>
      <Legend frame={frame} hidden={hidden} onHidden={setHidden} onFocus={focus} theme={theme} />
    </ThemeContext.Provider>
  );
}

interface TooltipProps {
  frame: Frame;
  /** uPlot counts the time column as series 0. */
  seriesIdx: number | null;
  index: number | null;
  theme: Theme;
  zone: Zone;
}

function PointTooltip({ frame, seriesIdx, index, theme, zone }: TooltipProps): ReactNode {
  const column = seriesIdx === null ? undefined : frame.columns[seriesIdx - 1];
  if (!column || index === null || seriesIdx === null) return null;
  const value = numberText(column.values[index]);
  const labels = Object.entries(column.labels).filter(([name]) => name !== '__name__');
  return (
    <div className="tooltip">
      <div className="tooltip-time">{timeText(frame.times[index] ?? 0, zone)}</div>
      <div className="tooltip-value">
        <i className="swatch" style={{ background: seriesColour(seriesIdx - 1, theme) }} />
        <span>{column.labels['__name__'] ?? (labels.length === 0 ? column.name : '')}</span>
        <b>{value}</b>
      </div>
      {labels.length > 0 && (
        <dl className="tooltip-labels">
          {labels.map(([name, text]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{text}</dd>
            </div>
          ))}
        </dl>
      )}
    </div>
  );
}
