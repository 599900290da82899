//! The `*_over_time` functions.

use std::collections::VecDeque;

use novaobs_model::SeriesSamples;
use novaobs_promql_parser::ast::Span;

use super::float::{self, Kahan, Mean};
use crate::operators::range::{RangeFunction, Window};
use crate::result::QueryError;
use crate::row::Column;
use crate::run::Run;

/// A function of nothing but the window's samples, computed afresh for each window.
pub(crate) struct Plain(pub(crate) fn(&[i64], &[f64]) -> Option<f64>);

impl RangeFunction for Plain {
    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        Ok((self.0)(window.times(), window.values()))
    }
}

/// The plain function of that name.
pub(crate) fn plain_by_name(name: &str) -> Option<Plain> {
    Some(Plain(match name {
        "avg_over_time" => |_, values| mean(values),
        "sum_over_time" => |_, values| Some(sum(values)),
        "count_over_time" => |_, values| Some(values.len() as f64),
        "present_over_time" | "absent_over_time" => |_, _| Some(1.0),
        "first_over_time" => |_, values| values.first().copied(),
        "last_over_time" => |_, values| values.last().copied(),
        "ts_of_first_over_time" => |times, _| times.first().map(|time| *time as f64 / 1000.0),
        "ts_of_last_over_time" => |times, _| times.last().map(|time| *time as f64 / 1000.0),
        "ts_of_max_over_time" => |times, values| time_of(times, values, |value, best| value >= best),
        "ts_of_min_over_time" => |times, values| time_of(times, values, |value, best| value <= best),
        "stddev_over_time" => |_, values| Some(variance(values).sqrt()),
        "stdvar_over_time" => |_, values| Some(variance(values)),
        "mad_over_time" => |_, values| Some(median_deviation(values)),
        _ => return None,
    }))
}

fn sum(values: &[f64]) -> f64 {
    let mut sum = Kahan::default();
    values.iter().for_each(|value| sum.add(*value));
    if sum.sum.is_infinite() { sum.sum } else { sum.total() }
}

fn mean(values: &[f64]) -> Option<f64> {
    let (first, rest) = values.split_first()?;
    let mut mean = Mean::from(*first);
    rest.iter().for_each(|value| mean.add(*value));
    Some(mean.value())
}

/// Welford's algorithm with compensated sums.
fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut squares) = (Kahan::default(), Kahan::default());
    let mut count = 0.0;
    for value in values {
        count += 1.0;
        let difference = value - mean.total();
        mean.add(difference / count);
        squares.add(difference * (value - mean.total()));
    }
    squares.total() / count
}

/// The time of the last best value; a NaN gives way to anything.
fn time_of(times: &[i64], values: &[f64], better: fn(f64, f64) -> bool) -> Option<f64> {
    let mut samples = times.iter().zip(values);
    let (mut best_time, mut best) = samples.next()?;
    for (time, value) in samples {
        if better(*value, *best) || best.is_nan() {
            (best_time, best) = (time, value);
        }
    }
    Some(*best_time as f64 / 1000.0)
}

/// The median distance from the median.
fn median_deviation(values: &[f64]) -> f64 {
    if values.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let mut values = values.to_vec();
    let median = float::quantile(0.5, &mut values);
    values.iter_mut().for_each(|value| *value = (*value - median).abs());
    float::quantile(0.5, &mut values)
}

/// `max_over_time` and `min_over_time`: a queue of the samples that may still become the best, so that
/// each sample is looked at once however much windows overlap.
pub(crate) struct Extreme {
    max: bool,
    /// Positions of ever worse values, ascending; no NaN among them.
    queue: VecDeque<(usize, f64)>,
    /// The next sample to take in.
    next: usize,
}

impl Extreme {
    /// The maximum or the minimum.
    pub(crate) fn new(max: bool) -> Self {
        Extreme { max, queue: VecDeque::new(), next: 0 }
    }
}

impl RangeFunction for Extreme {
    fn start(&mut self, _series: &SeriesSamples) {
        self.queue.clear();
        self.next = 0;
    }

    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        if self.next > window.past || self.next < window.first {
            self.queue.clear();
            self.next = window.first;
        }
        let values = &window.series.samples.values;
        for (offset, value) in values.get(self.next..window.past).unwrap_or_default().iter().enumerate() {
            if value.is_nan() {
                continue;
            }
            while self
                .queue
                .back()
                .is_some_and(|(_, last)| if self.max { last < value } else { last > value })
            {
                self.queue.pop_back();
            }
            self.queue.push_back((self.next + offset, *value));
        }
        self.next = window.past;
        while self.queue.front().is_some_and(|(position, _)| *position < window.first) {
            self.queue.pop_front();
        }
        Ok(Some(self.queue.front().map_or(f64::NAN, |(_, value)| *value)))
    }
}

/// `sum_over_time` and `avg_over_time` of windows that overlap a lot: each sample is added about twice
/// instead of once per window.
///
/// The window is split in two. Of the older part the sums of all its ends are known, of the newer part the
/// sum; when the older part is used up, the newer one takes its place. Nothing is ever subtracted, so
/// precision is that of adding up each window.
pub(crate) struct SlidingSum {
    mean: bool,
    /// `ends[split - 1 - p]` is the sum of samples `p..split`.
    ends: Vec<Kahan>,
    split: usize,
    newer: Kahan,
    /// Samples up to here are in `newer`.
    next: usize,
    /// The series has values so large that the order of adding decides whether a sum overflows, or
    /// infinities: windows are summed one by one.
    plain: bool,
}

impl SlidingSum {
    /// The mean or the sum.
    pub(crate) fn new(mean: bool) -> Self {
        let (ends, newer) = (Vec::new(), Kahan::default());
        SlidingSum { mean, ends, split: 0, newer, next: 0, plain: false }
    }

    /// Lets the ends of `first..past` be the older part.
    fn turn(&mut self, values: &[f64], first: usize, past: usize) {
        let mut sum = Kahan::default();
        self.ends.clear();
        for value in values.get(first..past).unwrap_or_default().iter().rev() {
            sum.add(*value);
            self.ends.push(sum);
        }
        (self.split, self.next, self.newer) = (past, past, Kahan::default());
    }
}

impl RangeFunction for SlidingSum {
    fn start(&mut self, series: &SeriesSamples) {
        let values = &series.samples.values;
        let largest = values.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        let total = largest * values.len() as f64;
        self.plain = !total.is_finite() || values.iter().any(|value| value.is_nan());
        self.ends.clear();
        (self.split, self.next, self.newer) = (0, 0, Kahan::default());
    }

    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        if self.plain {
            return Ok(if self.mean { mean(window.values()) } else { Some(sum(window.values())) });
        }
        let values = &window.series.samples.values;
        if window.first >= self.split || window.first < self.split.saturating_sub(self.ends.len()) {
            self.turn(values, window.first, window.past);
        }
        for value in values.get(self.next..window.past).unwrap_or_default() {
            self.newer.add(*value);
        }
        self.next = window.past;
        let older = (self.split - window.first).checked_sub(1).and_then(|end| self.ends.get(end));
        let mut sum = older.copied().unwrap_or_default();
        sum.add(self.newer.sum);
        sum.compensation += self.newer.compensation;
        let count = window.values().len() as f64;
        Ok(Some(if self.mean { sum.sum / count + sum.compensation / count } else { sum.total() }))
    }
}

/// `quantile_over_time`.
pub(crate) struct Quantile<'q> {
    /// Which.
    pub(crate) quantile: Column,
    /// Where notes go.
    pub(crate) run: &'q Run<'q>,
    /// The quantile's place.
    pub(crate) span: Span,
    /// Room for sorting.
    pub(crate) scratch: Vec<f64>,
}

impl RangeFunction for Quantile<'_> {
    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        let q = self.quantile.at(window.step);
        if !float::is_quantile(q) {
            self.run.annotate(|notes| notes.invalid_quantile(q, &self.span));
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(window.values());
        Ok(Some(float::quantile(q, &mut self.scratch)))
    }
}
