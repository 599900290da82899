//! Where the rows of a range aggregation end up: counts by cell, or values.
//!
//! Sums, averages and deviations of floating point numbers depend on the order they are added in. As long as
//! there are few values they are all kept and each window is computed in the order of time, which gives the
//! peer's very digits; beyond [`FEW`] they are folded into cells, so that memory and time stay bounded.

use novaobs_logql_parser::RangeOp;
use novaobs_model::select::QueryControl;
use novaobs_model::{Lease, SelectError};

use crate::cells::{Accumulator, Bag, Cells, Count, Earliest, Greatest, Latest, Least, Moments, Stamp, Sum};
use crate::matrix::Point;
use crate::over_time::{self, Sample};
use crate::window::{Cell, Windows};

/// Values that are kept one by one.
const FEW: usize = 1 << 18;
/// Values to look at, over all windows, up to which windows are computed value by value.
const FEW_LOOKS: u64 = 50_000_000;
/// A series without any row.
const NO_ROWS: u64 = u64::MAX;
/// Bytes taken from the pool at a time.
const LEASE_STEP: usize = 1 << 18;

/// What is to be computed of each window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function {
    /// Which.
    pub(crate) op: RangeOp,
    /// The phi of a quantile.
    pub(crate) parameter: f64,
    /// Nanoseconds of the window.
    pub(crate) range: i64,
    /// Whether values are unwrapped; else rows or bytes are counted.
    pub(crate) unwrapped: bool,
}

/// Rows by series.
pub(crate) struct Sink {
    function: Function,
    windows: Windows,
    store: Store,
    lease: Lease,
    /// Bytes grown since the lease was last asked.
    grown: usize,
    kept: usize,
    few: usize,
    cell: Option<Cell>,
}

enum Store {
    /// Of a single window: rows or bytes of each series, [`NO_ROWS`] where there is none.
    Totals(Vec<u64>),
    Counts(Vec<Cells<Count>>),
    Values(Vec<Vec<Sample>>),
    Sums(Vec<Cells<Sum>>),
    Least(Vec<Cells<Least>>),
    Greatest(Vec<Cells<Greatest>>),
    Moments(Vec<Cells<Moments>>),
    Earliest(Vec<Cells<Earliest>>),
    Latest(Vec<Cells<Latest>>),
    Bags(Vec<Cells<Bag>>),
}

impl Sink {
    /// An empty one.
    pub(crate) fn new(
        function: Function,
        windows: Windows,
        control: &QueryControl,
    ) -> Result<Sink, SelectError> {
        let store = match function.unwrapped {
            true => Store::Values(Vec::new()),
            false if windows.count() == 1 => Store::Totals(Vec::new()),
            false => Store::Counts(Vec::new()),
        };
        let lease = control.pool().take(0)?;
        Ok(Sink { function, windows, store, lease, grown: 0, kept: 0, few: FEW, cell: None })
    }

    /// The cell of a time, most often that of the row before.
    fn locate(&mut self, time: i64) -> Option<Cell> {
        match self.cell {
            Some(cell) if cell.low < time && time <= cell.high => Some(cell),
            _ => {
                self.cell = self.windows.locate(time);
                self.cell
            }
        }
    }

    /// Whether a time is in any window.
    pub(crate) fn wants(&mut self, time: i64) -> bool {
        self.locate(time).is_some()
    }

    /// Adds rows of one series that are in order of time; `values` are as many, or none to count rows.
    pub(crate) fn add_run(
        &mut self,
        series: u32,
        place: u64,
        times: &[i64],
        values: Option<&[f64]>,
    ) -> Result<(), SelectError> {
        if let (Store::Counts(_) | Store::Totals(_), None) = (&self.store, values) {
            return self.count_run(series, times);
        }
        for (row, time) in times.iter().enumerate() {
            let value = values.map_or(1.0, |values| values.get(row).copied().unwrap_or_default());
            self.add(series, Stamp { time: *time, place: place + row as u64 }, value);
        }
        self.settle()
    }

    /// Rows are counted without looking at each: only where a cell ends is searched for.
    fn count_run(&mut self, series: u32, mut times: &[i64]) -> Result<(), SelectError> {
        while let Some(time) = times.first() {
            let Some(cell) = self.locate(*time) else {
                times = times.get(1..).unwrap_or_default();
                continue;
            };
            let rows = run_until(times, cell.high);
            match &mut self.store {
                Store::Totals(all) => self.grown += add_total(all, series, rows as u64),
                Store::Counts(all) => self.grown += add_cell(all, series, cell.index, Count(rows as u64)),
                _ => {}
            }
            times = times.get(rows..).unwrap_or_default();
        }
        self.settle()
    }

    /// Adds rows of a series each.
    pub(crate) fn add_rows(
        &mut self,
        series: &[u32],
        place: u64,
        times: &[i64],
        values: Option<&[f64]>,
    ) -> Result<(), SelectError> {
        for (row, (series, time)) in series.iter().zip(times).enumerate() {
            let value = values.map_or(1.0, |values| values.get(row).copied().unwrap_or_default());
            self.add(*series, Stamp { time: *time, place: place + row as u64 }, value);
        }
        self.settle()
    }

    fn add(&mut self, series: u32, at: Stamp, value: f64) {
        let Some(cell) = self.locate(at.time) else { return };
        self.grown += match &mut self.store {
            Store::Totals(all) => add_total(all, series, value as u64),
            Store::Counts(all) => add_cell(all, series, cell.index, Count(value as u64)),
            Store::Values(all) => {
                let new = all.len() <= series as usize;
                self.kept += 1;
                slot(all, series).push(Sample { at, value });
                size_of::<Sample>() + if new { size_of::<Vec<Sample>>() } else { 0 }
            }
            Store::Sums(all) => add_cell(all, series, cell.index, Sum::of(at, value)),
            Store::Least(all) => add_cell(all, series, cell.index, Least::of(at, value)),
            Store::Greatest(all) => add_cell(all, series, cell.index, Greatest::of(at, value)),
            Store::Moments(all) => add_cell(all, series, cell.index, Moments::of(at, value)),
            Store::Earliest(all) => add_cell(all, series, cell.index, Earliest::of(at, value)),
            Store::Latest(all) => add_cell(all, series, cell.index, Latest::of(at, value)),
            Store::Bags(all) => {
                // No list is made for a value that joins one.
                let cells = slot(all, series);
                cells.add_value(cell.index, value)
            }
        };
    }

    /// Accounts for what was added, and folds values into cells when they are many.
    fn settle(&mut self) -> Result<(), SelectError> {
        if self.grown >= LEASE_STEP {
            self.lease.grow(self.grown as u64)?;
            self.grown = 0;
        }
        if self.kept > self.few {
            self.fold()?;
        }
        Ok(())
    }

    /// Folds kept values into cells, for functions that cells are enough for.
    fn fold(&mut self) -> Result<(), SelectError> {
        let Store::Values(samples) = &mut self.store else { return Ok(()) };
        let folded = match self.function.op {
            RangeOp::SumOverTime | RangeOp::Rate => Store::Sums(Vec::new()),
            RangeOp::MinOverTime => Store::Least(Vec::new()),
            RangeOp::MaxOverTime => Store::Greatest(Vec::new()),
            RangeOp::AvgOverTime | RangeOp::StddevOverTime | RangeOp::StdvarOverTime => {
                Store::Moments(Vec::new())
            }
            RangeOp::FirstOverTime | RangeOp::AbsentOverTime => Store::Earliest(Vec::new()),
            RangeOp::LastOverTime => Store::Latest(Vec::new()),
            RangeOp::QuantileOverTime => Store::Bags(Vec::new()),
            RangeOp::RateCounter | RangeOp::CountOverTime | RangeOp::BytesRate | RangeOp::BytesOverTime => {
                self.few = usize::MAX;
                return Ok(());
            }
        };
        let samples = std::mem::take(samples);
        self.store = folded;
        self.lease.shrink((self.kept * size_of::<Sample>()) as u64);
        self.kept = 0;
        for (series, samples) in samples.into_iter().enumerate() {
            for sample in samples {
                self.add(series as u32, sample.at, sample.value);
            }
        }
        self.settle()
    }

    /// Takes in another sink of the same function, whose series `n` is `numbers[n]` here.
    pub(crate) fn absorb(&mut self, mut other: Sink, numbers: &[u32]) -> Result<(), SelectError> {
        if std::mem::discriminant(&self.store) != std::mem::discriminant(&other.store) {
            self.fold()?;
            other.fold()?;
        }
        macro_rules! both {
            ($($kind:ident),*) => {
                match (&mut self.store, other.store) {
                    $((Store::$kind(mine), Store::$kind(theirs)) => {
                        for (series, cells) in theirs.into_iter().enumerate() {
                            if let Some(number) = numbers.get(series) {
                                slot(mine, *number).absorb(cells);
                            }
                        }
                    })*
                    (Store::Totals(mine), Store::Totals(theirs)) => {
                        let there = theirs.into_iter().zip(numbers).filter(|(total, _)| *total != NO_ROWS);
                        for (total, number) in there {
                            add_total(mine, *number, total);
                        }
                    }
                    (Store::Values(mine), Store::Values(theirs)) => {
                        for (series, samples) in theirs.into_iter().enumerate() {
                            if let Some(number) = numbers.get(series) {
                                self.kept += samples.len();
                                slot(mine, *number).extend(samples);
                            }
                        }
                    }
                    _ => novaobs_model::never!("sinks of one aggregation keep different things"),
                }
            };
        }
        both!(Counts, Sums, Least, Greatest, Moments, Earliest, Latest, Bags);
        self.lease.grow(other.lease.bytes())?;
        self.settle()
    }

    /// The points of each series, by number.
    pub(crate) fn finish(mut self, control: &QueryControl) -> Result<Vec<Vec<Point>>, SelectError> {
        if self.kept as u64 * self.windows.overlap() > FEW_LOOKS {
            self.fold()?;
        }
        let Sink { function, windows, store, .. } = self;
        let seconds = over_time::seconds(function.range);
        let per_second = matches!(function.op, RangeOp::Rate | RangeOp::BytesRate);
        let scale = |sum: f64| if per_second { sum / seconds } else { sum };
        match store {
            Store::Values(all) => {
                all.into_iter().map(|one| finish_values(one, function, &windows, control)).collect()
            }
            Store::Totals(all) => {
                let value = |total: u64| match function.op {
                    RangeOp::AbsentOverTime => 1.0,
                    _ => scale(total as f64),
                };
                let points = |total: &u64| match *total {
                    NO_ROWS => Vec::new(),
                    total => vec![Point { step: 0, value: value(total) }],
                };
                Ok(all.iter().map(points).collect())
            }
            Store::Counts(all) => finish_cells(all, &windows, control, |count| match function.op {
                RangeOp::AbsentOverTime => 1.0,
                _ => scale(count.0 as f64),
            }),
            Store::Sums(all) => finish_cells(all, &windows, control, |sum| scale(sum.0)),
            Store::Least(all) => finish_cells(all, &windows, control, |least| least.0),
            Store::Greatest(all) => finish_cells(all, &windows, control, |greatest| greatest.0),
            Store::Moments(all) => finish_cells(all, &windows, control, |moments| match function.op {
                RangeOp::AvgOverTime => moments.mean,
                RangeOp::StdvarOverTime => moments.squares / moments.count,
                _ => (moments.squares / moments.count).sqrt(),
            }),
            Store::Earliest(all) => finish_cells(all, &windows, control, |first| match function.op {
                RangeOp::AbsentOverTime => 1.0,
                _ => first.1,
            }),
            Store::Latest(all) => finish_cells(all, &windows, control, |last| last.1),
            Store::Bags(all) => finish_bags(all, function.parameter, &windows, control),
        }
    }
}

/// How many of the ascending `times` are at most `high`; near ends are found fast.
fn run_until(times: &[i64], high: i64) -> usize {
    let mut reach = 1;
    while times.get(reach).is_some_and(|time| *time <= high) {
        reach *= 2;
    }
    let known = reach / 2;
    let end = reach.min(times.len());
    known + times.get(known..end).unwrap_or_default().partition_point(|time| *time <= high)
}

fn slot<T: Default>(all: &mut Vec<T>, series: u32) -> &mut T {
    let at = series as usize;
    if all.len() <= at {
        all.resize_with(at + 1, T::default);
    }
    #[expect(clippy::indexing_slicing, reason = "made just above")]
    &mut all[at]
}

/// Adds to a series' total; returns about how many bytes the list grew by.
fn add_total(all: &mut Vec<u64>, series: u32, more: u64) -> usize {
    let (at, before) = (series as usize, all.len());
    if before <= at {
        all.resize(at + 1, NO_ROWS);
    }
    if let Some(total) = all.get_mut(at) {
        *total = if *total == NO_ROWS { more } else { *total + more };
    }
    (all.len() - before) * size_of::<u64>()
}

fn add_cell<A: Accumulator>(all: &mut Vec<Cells<A>>, series: u32, cell: u64, more: A) -> usize {
    slot(all, series).add(cell, more)
}

fn finish_cells<A: Accumulator>(
    all: Vec<Cells<A>>,
    windows: &Windows,
    control: &QueryControl,
    value: impl Fn(&A) -> f64,
) -> Result<Vec<Vec<Point>>, SelectError> {
    let mut out = Vec::with_capacity(all.len());
    for cells in all {
        control.check()?;
        let mut points = Vec::new();
        cells.windows(windows, |step, sum| points.push(Point { step, value: value(sum) }));
        out.push(points);
    }
    Ok(out)
}

fn finish_bags(
    all: Vec<Cells<Bag>>,
    phi: f64,
    windows: &Windows,
    control: &QueryControl,
) -> Result<Vec<Vec<Point>>, SelectError> {
    let mut out = Vec::with_capacity(all.len());
    let mut values = Vec::new();
    for cells in all {
        let mut points = Vec::new();
        let mut stopped = Ok(());
        cells.slices(windows, |step, bags| {
            if stopped.is_ok() {
                stopped = control.check();
                values.clear();
                bags.iter().for_each(|(_, bag)| values.extend_from_slice(&bag.0));
                points.push(Point { step, value: over_time::quantile(phi, &mut values) });
            }
        });
        stopped?;
        out.push(points);
    }
    Ok(out)
}

fn finish_values(
    mut samples: Vec<Sample>,
    function: Function,
    windows: &Windows,
    control: &QueryControl,
) -> Result<Vec<Point>, SelectError> {
    control.check()?;
    samples.sort_by_key(|sample| sample.at);
    let mut points = Vec::new();
    let (mut first, mut next, mut step) = (0usize, 0usize, 0u32);
    while step < windows.count() {
        let (low, high) = windows.span(step);
        while samples.get(next).is_some_and(|sample| sample.at.time <= high) {
            next += 1;
        }
        while first < next && samples.get(first).is_some_and(|sample| sample.at.time <= low) {
            first += 1;
        }
        match samples.get(first..next) {
            Some(inside) if !inside.is_empty() => {
                let value = over_time::over(function.op, function.parameter, function.range, inside);
                points.push(Point { step, value });
                step += 1;
            }
            _ => {
                let Some(sample) = samples.get(next) else { break };
                let reaching =
                    windows.locate(sample.at.time).map_or(0, |cell| windows.first_step_reaching(cell.index));
                step = reaching.max(step + 1);
            }
        }
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Steps;
    use proptest::prelude::*;

    fn points(op: RangeOp, rows: &[(u8, i64, i32)], few: usize, split: bool) -> Vec<Vec<Point>> {
        let control = QueryControl::unlimited();
        let windows = Windows::new(Steps::new(50, 250, 20).unwrap(), 70, 0);
        let function = Function { op, parameter: 0.3, range: 70, unwrapped: true };
        let sink = || Sink { few, ..Sink::new(function, windows, &control).unwrap() };
        let (mut one, mut two) = (sink(), sink());
        for (place, (series, time, value)) in rows.iter().enumerate() {
            let into = if split && place % 3 == 0 { &mut two } else { &mut one };
            into.add_run(u32::from(*series), place as u64, &[*time], Some(&[f64::from(*value)])).unwrap();
        }
        one.absorb(two, &[0, 1, 2]).unwrap();
        one.finish(&control).unwrap()
    }

    proptest! {
        #[test]
        fn cells_give_what_values_give(
            rows in proptest::collection::vec((0u8..3, 0i64..300, -20i32..20), 1..80),
            split in any::<bool>(),
        ) {
            for op in [
                RangeOp::SumOverTime, RangeOp::Rate, RangeOp::AvgOverTime, RangeOp::MinOverTime,
                RangeOp::MaxOverTime, RangeOp::StddevOverTime, RangeOp::QuantileOverTime,
                RangeOp::FirstOverTime, RangeOp::LastOverTime, RangeOp::RateCounter,
            ] {
                let exact = points(op, &rows, usize::MAX, false);
                let folded = points(op, &rows, 0, split);
                for series in 0..3 {
                    let (exact, folded) = (exact.get(series), folded.get(series));
                    let (exact, folded) = (exact.cloned().unwrap_or_default(), folded.cloned().unwrap_or_default());
                    prop_assert_eq!(exact.len(), folded.len());
                    for (a, b) in exact.iter().zip(&folded) {
                        prop_assert_eq!(a.step, b.step);
                        let near = (a.value - b.value).abs() <= 1e-6 * (1.0 + a.value.abs());
                        prop_assert!(near || a.value.is_nan() && b.value.is_nan(), "{:?} {:?} {:?}", op, a, b);
                    }
                }
            }
        }

        #[test]
        fn runs_are_counted_to_the_end_of_a_cell(mut times in proptest::collection::vec(0i64..50, 0..40), high in 0i64..50) {
            times.sort_unstable();
            if times.first().is_some_and(|first| *first <= high) {
                prop_assert_eq!(run_until(&times, high), times.iter().filter(|t| **t <= high).count());
            }
        }
    }
}
