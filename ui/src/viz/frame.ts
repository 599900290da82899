/** From a range query's answer to columns on one time grid: what the graph draws and the legend computes. */
import type { Labels, QueryData, RangeSeries, Sample } from '../api/prometheus';
import { sampleNumber, seriesName } from './format';

/** The moments a range query was asked for, in unix seconds. */
export interface Grid {
  start: number;
  end: number;
  step: number;
}
export interface Column {
  /** Unique within the plot: row letter and labels. */
  key: string;
  name: string;
  labels: Labels;
  /** One entry per moment of the frame; null where there is no sample or none that can be drawn. */
  values: (number | null)[];
  /** Samples that are NaN or infinite and therefore left out of the line. */
  odd: number;
}
export interface Frame {
  /** Milliseconds. */
  times: number[];
  columns: Column[];
  /** Series in the answers; more than `columns` when the cap cut some off. */
  total: number;
  /** Samples that are NaN or infinite. */
  oddSamples: number;
  /** Series that hold native histograms only, which a line cannot show. */
  histograms: number;
}

/** One row's answer; its expression names a series that has no labels. */
export interface RowSeries {
  row: string;
  expr: string;
  series: RangeSeries[];
  /** The same expression at the very end of the range, which seldom lies on the grid. */
  newest: QueryData | undefined;
}

/** An instant answer as samples by series name. */
function newestSamples(data: QueryData | undefined): Map<string, { metric: Labels; value: Sample }> {
  const found = new Map<string, { metric: Labels; value: Sample }>();
  if (data?.resultType === 'scalar') found.set('{}', { metric: {}, value: data.result });
  if (data?.resultType === 'vector') {
    for (const { metric, value } of data.result) if (value) found.set(seriesName(metric), { metric, value });
  }
  return found;
}

/**
 * Lays the answers of several rows on their common grid, with the end of the range (unix seconds) as one more moment:
 * a grid that stays put between refreshes would otherwise hide the newest samples. At most `cap` series, in the server's order.
 */
export function buildFrame(answers: RowSeries[], grid: Grid, end: number, cap: number): Frame {
  const onGrid = Math.max(0, Math.floor((grid.end - grid.start) / grid.step + 1e-9) + 1);
  const times = Array.from({ length: onGrid }, (_, index) => Math.round((grid.start + index * grid.step) * 1000));
  const endMs = Math.round(end * 1000);
  if (endMs > (times.at(-1) ?? -Infinity)) times.push(endMs);
  const columns: Column[] = [];
  let total = 0;
  let histograms = 0;

  const add = ({ row, expr }: RowSeries, metric: Labels, samples: Sample[], last: Sample | undefined) => {
    total += 1;
    if (columns.length >= cap) return;
    const values = new Array<number | null>(times.length).fill(null);
    let odd = 0;
    const put = (index: number, text: string) => {
      if (index < 0 || index >= values.length) return;
      const value = sampleNumber(text);
      if (Number.isFinite(value)) values[index] = value;
      else odd += 1;
    };
    for (const [time, text] of samples) put(Math.round((time - grid.start) / grid.step), text);
    if (last && times.length > onGrid) put(onGrid, last[1]);
    const name = seriesName(metric);
    columns.push({ key: `${row} ${name}`, name: name === '{}' ? expr : name, labels: metric, values, odd });
  };

  for (const answer of answers) {
    const newest = newestSamples(answer.newest);
    for (const { metric, values } of answer.series) {
      if (!values?.length) {
        histograms += 1;
        continue;
      }
      const name = seriesName(metric);
      add(answer, metric, values, newest.get(name)?.value);
      newest.delete(name);
    }
    // Series younger than the last moment of the grid.
    for (const { metric, value } of newest.values()) add(answer, metric, [], value);
  }
  const oddSamples = columns.reduce((sum, one) => sum + one.odd, 0);
  return { times, columns, total, oddSamples, histograms };
}

/** Each column added to those below it; a missing sample stays missing but lets the sum through. */
export function stack(columns: (number | null)[][]): (number | null)[][] {
  const sums: number[] = [];
  return columns.map((values) =>
    values.map((value, index) => {
      if (value === null) return null;
      const sum = (sums[index] ?? 0) + value;
      sums[index] = sum;
      return sum;
    }),
  );
}

/** Positions whose neighbours are both missing: a line cannot show them, so they are drawn as points. */
export function lonelyPoints(values: ArrayLike<number | null | undefined>): number[] {
  const out: number[] = [];
  for (let index = 0; index < values.length; index++) {
    if (values[index] != null && values[index - 1] == null && values[index + 1] == null) out.push(index);
  }
  return out;
}

export interface Summary {
  last: number | null;
  min: number | null;
  max: number | null;
  mean: number | null;
}

export function summarize(values: (number | null)[]): Summary {
  let min = Infinity;
  let max = -Infinity;
  let sum = 0;
  let count = 0;
  let last: number | null = null;
  for (const value of values) {
    if (value === null) continue;
    last = value;
    count += 1;
    sum += value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  return count === 0 ? { last, min: null, max: null, mean: null } : { last, min, max, mean: sum / count };
}
