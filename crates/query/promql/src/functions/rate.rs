//! Counters and differences: rate, increase, delta, irate, idelta, changes, resets.

use novaobs_model::SeriesSamples;
use novaobs_promql_parser::ast::Span;

use crate::operators::range::{RangeFunction, Window};
use crate::result::QueryError;
use crate::run::Run;

/// `rate`, `increase` and `delta`.
///
/// The difference of the last and first sample is extrapolated to the edges of the window: all the way if
/// a sample was to be expected there, else by half of the mean distance of samples, and for counters not
/// below zero (<https://github.com/prometheus/prometheus/pull/13725>).
pub(crate) struct Extrapolated {
    /// Counters may restart from zero: a decrease is a reset.
    pub(crate) counter: bool,
    /// Per second, or for the whole window.
    pub(crate) per_second: bool,
    /// Positions of samples lower than the one before, ascending.
    resets: Vec<usize>,
}

impl Extrapolated {
    /// `rate` is (true, true), `increase` (true, false), `delta` (false, false).
    pub(crate) fn new(counter: bool, per_second: bool) -> Self {
        Extrapolated { counter, per_second, resets: Vec::new() }
    }
}

/// Positions where `changed` says so of a value and the one before it.
fn positions(values: &[f64], changed: impl Fn(f64, f64) -> bool, out: &mut Vec<usize>) {
    out.clear();
    let pairs = values.iter().zip(values.iter().skip(1)).enumerate();
    out.extend(pairs.filter(|(_, (before, after))| changed(**before, **after)).map(|(index, _)| index + 1));
}

/// The positions of a window except its first sample.
fn inside<'a>(positions: &'a [usize], window: &Window<'_>) -> &'a [usize] {
    let from = positions.partition_point(|position| *position <= window.first);
    let to = positions.partition_point(|position| *position < window.past);
    positions.get(from..to).unwrap_or_default()
}

impl RangeFunction for Extrapolated {
    fn start(&mut self, series: &SeriesSamples) {
        if self.counter {
            positions(&series.samples.values, |before, after| after < before, &mut self.resets);
        }
    }

    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        let (&[first_time, .., last_time], &[first, .., last]) = (window.times(), window.values()) else {
            return Ok(None);
        };
        let mut result = last - first;
        for position in inside(&self.resets, window) {
            let before = position.checked_sub(1).and_then(|before| window.series.samples.values.get(before));
            result += before.copied().unwrap_or(0.0);
        }
        let mut to_start = (first_time - window.start) as f64 / 1000.0;
        let mut to_end = (window.end - last_time) as f64 / 1000.0;
        let sampled = (last_time - first_time) as f64 / 1000.0;
        let mean_distance = sampled / (window.values().len() - 1) as f64;
        let near = mean_distance * 1.1;
        if to_start >= near {
            to_start = mean_distance / 2.0;
        }
        if self.counter && result > 0.0 && first >= 0.0 {
            let to_zero = sampled * (first / result);
            if to_zero < to_start {
                to_start = to_zero;
            }
        }
        if to_end >= near {
            to_end = mean_distance / 2.0;
        }
        let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
        if self.per_second {
            factor /= window.seconds();
        }
        Ok(Some(result * factor))
    }
}

/// Notes series that `rate` or `increase` was asked of although they are not named like counters.
pub(crate) struct CounterNames<'q, F> {
    /// The function itself.
    pub(crate) inner: F,
    /// Where notes go.
    pub(crate) run: &'q Run<'q>,
    /// The argument's place.
    pub(crate) span: Span,
    /// The last name noted, since series of one metric come in a row.
    pub(crate) noted: String,
}

impl<F: RangeFunction> RangeFunction for CounterNames<'_, F> {
    fn start(&mut self, series: &SeriesSamples) {
        self.inner.start(series);
    }

    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        self.inner.value(window)
    }

    fn finish(&mut self, series: &SeriesSamples) {
        let name = series.labels.metric_name();
        let like_counter = ["_total", "_sum", "_count", "_bucket"].iter().any(|end| name.ends_with(end));
        if name.is_empty() || like_counter || name == self.noted {
            return;
        }
        name.clone_into(&mut self.noted);
        self.run.annotate(|notes| notes.possible_non_counter(name, &self.span));
    }
}

/// `irate` and `idelta`: the last two samples.
pub(crate) struct Instant {
    /// `irate`: per second, a decrease is a reset.
    pub(crate) rate: bool,
}

impl RangeFunction for Instant {
    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        let (&[.., before_time, time], &[.., before, last]) = (window.times(), window.values()) else {
            return Ok(None);
        };
        if !self.rate {
            return Ok(Some(last - before));
        }
        let difference = if last < before { last } else { last - before };
        Ok(Some(difference / ((time - before_time) as f64 / 1000.0)))
    }
}

/// `changes` and `resets`: how often a value differs from, or is below, the one before.
pub(crate) struct Transitions {
    resets: bool,
    /// The window's first sample may be before its start (`anchored`).
    anchored: bool,
    positions: Vec<usize>,
}

impl Transitions {
    /// `resets` or, if not, `changes`.
    pub(crate) fn new(resets: bool, anchored: bool) -> Self {
        Transitions { resets, anchored, positions: Vec::new() }
    }
}

impl RangeFunction for Transitions {
    fn start(&mut self, series: &SeriesSamples) {
        let changed = |before: f64, after: f64| after != before && !(after.is_nan() && before.is_nan());
        let reset = |before: f64, after: f64| after < before;
        if self.resets {
            positions(&series.samples.values, reset, &mut self.positions);
        } else {
            positions(&series.samples.values, changed, &mut self.positions);
        }
    }

    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        let mut window = *window;
        if self.anchored {
            let before = window.times().partition_point(|time| *time <= window.start);
            if before == window.times().len() {
                return Ok(None);
            }
            window.first += before.saturating_sub(1);
        }
        Ok(Some(inside(&self.positions, &window).len() as f64))
    }
}
