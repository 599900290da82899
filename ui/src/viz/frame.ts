/** From a range query's answer to columns on one time grid: what the graph draws and the legend computes. */
import type { Labels, RangeSeries } from '../api/prometheus';
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
  /** One entry per grid moment; null where there is no sample or none that can be drawn. */
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
}

function column({ row, expr }: RowSeries, series: RangeSeries, grid: Grid, length: number): Column {
  const values: (number | null)[] = new Array<number | null>(length).fill(null);
  let odd = 0;
  for (const [time, text] of series.values ?? []) {
    const index = Math.round((time - grid.start) / grid.step);
    if (index < 0 || index >= length) continue;
    const value = sampleNumber(text);
    if (Number.isFinite(value)) values[index] = value;
    else odd += 1;
  }
  const name = seriesName(series.metric);
  return { key: `${row} ${name}`, name: name === '{}' ? expr : name, labels: series.metric, values, odd };
}

/** Lays the answers of several rows on their common grid; at most `cap` series, in the server's order. */
export function buildFrame(answers: RowSeries[], grid: Grid, cap: number): Frame {
  const length = Math.max(0, Math.floor((grid.end - grid.start) / grid.step + 1e-9) + 1);
  const times = Array.from({ length }, (_, index) => Math.round((grid.start + index * grid.step) * 1000));
  const columns: Column[] = [];
  let total = 0;
  let histograms = 0;
  for (const answer of answers) {
    for (const one of answer.series) {
      if (!one.values?.length) {
        histograms += 1;
        continue;
      }
      total += 1;
      if (columns.length < cap) columns.push(column(answer, one, grid, length));
    }
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
