/** The answer of an instant query as a table: one line per series, with filter, order and the value exactly as the server wrote it. */
import { useMemo, useState, type ReactNode } from 'react';
import type { HistogramValue, Labels, QueryData, Sample } from '../api/prometheus';
import { useSettings, type Zone } from '../state/settings';
import { countText, plural, sampleNumber, seriesName, timeText } from '../viz/format';
import { Empty, SearchBox } from './parts';

/** Lines shown before the reader asks for the rest. */
const FIRST_LINES = 200;
/** Lines added by one press of "more". */
const MORE_LINES = 1000;

interface Line {
  labels: Labels;
  name: string;
  /** For ordering; NaN for what is no single number. */
  number: number;
  value: ReactNode;
}

function histogramText({ count, sum, buckets }: HistogramValue): ReactNode {
  return (
    <details>
      <summary>
        histogram: count {count}, sum {sum}
      </summary>
      {buckets?.map(([, low, high, amount]) => (
        <div key={`${low} ${high}`}>
          {low} to {high}: {amount}
        </div>
      ))}
    </details>
  );
}

function samplesText(samples: Sample[], zone: Zone): ReactNode {
  return (
    <div className="samples">
      {samples.map(([time, value]) => (
        <div key={time}>
          {value} <span className="muted">@ {timeText(time * 1000, zone)}</span>
        </div>
      ))}
    </div>
  );
}

function linesOf(data: QueryData, zone: Zone): Line[] {
  switch (data.resultType) {
    case 'scalar':
    case 'string':
      return [{ labels: {}, name: data.resultType, number: Number(data.result[1]), value: data.result[1] }];
    case 'vector':
      return data.result.map(({ metric, value, histogram }) => ({
        labels: metric,
        name: seriesName(metric),
        number: value ? sampleNumber(value[1]) : NaN,
        value: value ? value[1] : histogram ? histogramText(histogram[1]) : '',
      }));
    case 'matrix':
      return data.result.map(({ metric, values, histograms }) => ({
        labels: metric,
        name: seriesName(metric),
        number: NaN,
        value: (
          <>
            {values && samplesText(values, zone)}
            {histograms?.map(([time, histogram]) => <div key={time}>{histogramText(histogram)}</div>)}
          </>
        ),
      }));
  }
}

type Order = 'server' | 'up' | 'down';
const NEXT: Record<Order, Order> = { server: 'down', down: 'up', up: 'server' };

export function ResultTable({ data }: { data: QueryData }): ReactNode {
  const { zone } = useSettings();
  const [filter, setFilter] = useState('');
  const [order, setOrder] = useState<Order>('server');
  const [limit, setLimit] = useState(FIRST_LINES);
  const lines = useMemo(() => linesOf(data, zone), [data, zone]);
  const shown = useMemo(() => {
    const wanted = filter.toLowerCase();
    const kept = wanted ? lines.filter((line) => line.name.toLowerCase().includes(wanted)) : [...lines];
    const weight = (line: Line) => (Number.isNaN(line.number) ? -Infinity : line.number);
    if (order !== 'server') kept.sort((a, b) => (order === 'up' ? weight(a) - weight(b) : weight(b) - weight(a)));
    return kept;
  }, [lines, filter, order]);

  if (lines.length === 0) return <Empty title="No data">Nothing matched at the end of this range. Check the label values, or look further back.</Empty>;
  const visible = shown.slice(0, limit);
  return (
    <div className="results" data-testid="results">
      {lines.length > 8 && (
        <div className="results-head">
          <SearchBox label="Filter series" value={filter} onChange={setFilter} />
          <span className="muted">{filter ? `${countText(shown.length)} of ${plural(lines.length, 'line')}` : plural(lines.length, 'line')}</span>
        </div>
      )}
      <table className="result-table">
        <thead>
          <tr>
            <th>Series</th>
            <th className="number" aria-sort={order === 'server' ? 'none' : order === 'up' ? 'ascending' : 'descending'}>
              <button type="button" className="sort" onClick={() => setOrder(NEXT[order])}>
                Value{order === 'up' ? ' ↑' : order === 'down' ? ' ↓' : ''}
              </button>
            </th>
          </tr>
        </thead>
        <tbody>
          {visible.map((line, index) => (
            <tr key={index}>
              <td>
                <SeriesText labels={line.labels} plain={line.name} />
              </td>
              <td className="number value">{line.value}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {visible.length < shown.length && (
        <>
          {shown.length - visible.length > MORE_LINES && (
            <button type="button" className="button more" onClick={() => setLimit(limit + MORE_LINES)}>
              Show {countText(MORE_LINES)} more
            </button>
          )}
          <button type="button" className="button more" onClick={() => setLimit(Infinity)}>
            Show all {countText(shown.length)} lines
          </button>
        </>
      )}
    </div>
  );
}

function SeriesText({ labels, plain }: { labels: Labels; plain: string }): ReactNode {
  const pairs = Object.entries(labels).filter(([name]) => name !== '__name__');
  if (pairs.length === 0) return <span className="series">{plain}</span>;
  return (
    <span className="series">
      {labels['__name__']}
      <span className="muted">{'{'}</span>
      {pairs.map(([name, value], index) => (
        <span key={name}>
          {index > 0 && <span className="muted">, </span>}
          <span className="code-label">{name}</span>
          <span className="muted">=</span>
          <span className="code-string">{JSON.stringify(value)}</span>
        </span>
      ))}
      <span className="muted">{'}'}</span>
    </span>
  );
}
