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
            while self.queue.back().is_some_and(|(_, last)| if self.max { last < value } else { last > value }) {
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
