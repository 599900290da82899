//! `rate`, `increase` and `delta` of selectors marked `anchored` or `smoothed`: no extrapolation, the
//! values at the window's edges come from samples around them.

use crate::operators::range::{RangeFunction, Window};
use crate::operators::selector::interpolate;
use crate::result::QueryError;

/// The difference between the edges of the window.
pub(crate) struct Extended {
    /// Counters may restart from zero.
    pub(crate) counter: bool,
    /// Per second, or for the whole window.
    pub(crate) per_second: bool,
    /// Edges are interpolated, or else are the samples before them.
    pub(crate) smoothed: bool,
}

/// The samples that stand for a window, with its edges.
pub(crate) struct Edges {
    /// Value at the start.
    pub(crate) left: f64,
    /// Value at the end.
    pub(crate) right: f64,
    /// The samples strictly between the edges, as a range of the shown ones.
    pub(crate) between: std::ops::Range<usize>,
}

/// Finds the edges of a window; `None` if no sample tells about it.
///
/// Between a counter's samples with a reset in between it counts from zero.
pub(crate) fn edges(
    (times, values): (&[i64], &[f64]),
    start: i64,
    end: i64,
    smoothed: bool,
    counter: bool,
) -> Option<Edges> {
    let between_samples = |left: (i64, f64), right: (i64, f64), at: i64| {
        let reset = counter && right.1 < left.1;
        interpolate(if reset { (left.0, 0.0) } else { left }, right, at)
    };
    let newest = times.len().checked_sub(1)?;
    let sample = |index: usize| Some((*times.get(index)?, *values.get(index)?));
    let earlier = times.get(..newest)?;
    let mut first = earlier.partition_point(|time| *time <= start).saturating_sub(1);
    let mut last = if smoothed { earlier.partition_point(|time| *time < end) } else { newest };
    let (first_sample, last_sample) = (sample(first)?, sample(last)?);
    if last_sample.0 <= start || (smoothed && first_sample.0 > end) {
        return None;
    }
    let left = match sample(first + 1) {
        Some(next) if smoothed && first_sample.0 < start => between_samples(first_sample, next, start),
        _ => first_sample.1,
    };
    let right = match last.checked_sub(1).and_then(sample) {
        Some(before) if smoothed && last_sample.0 > end => between_samples(before, last_sample, end),
        _ => last_sample.1,
    };
    first += usize::from(first_sample.0 <= start);
    last = if last_sample.0 >= end { last } else { last + 1 };
    Some(Edges { left, right, between: first..last.max(first) })
}

impl RangeFunction for Extended {
    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        let (times, values) = (window.times(), window.values());
        let Some(edges) = edges((times, values), window.start, window.end, self.smoothed, self.counter)
        else {
            return Ok(None);
        };
        let mut result = edges.right - edges.left;
        if self.counter {
            let mut before = edges.left;
            let mut correction = 0.0;
            let between = values.get(edges.between).unwrap_or_default();
            for value in between.iter().copied().chain([edges.right]) {
                if value < before {
                    correction += before;
                }
                before = value;
            }
            result += correction;
        }
        Ok(Some(if self.per_second { result / window.seconds() } else { result }))
    }
}
