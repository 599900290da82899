//! Trends: `deriv`, `predict_linear`, `double_exponential_smoothing`.

use super::float::Kahan;
use super::gofmt;
use crate::operators::range::{RangeFunction, Window};
use crate::result::QueryError;
use crate::row::Column;

/// (slope per second, value at `origin`) of the least-squares line through the samples.
fn line(times: &[i64], values: &[f64], origin: i64) -> (f64, f64) {
    let Some(first) = values.first().copied() else { return (f64::NAN, f64::NAN) };
    if values.iter().all(|value| *value == first) || values.len() == 1 {
        return if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) };
    }
    let (mut x_sum, mut y_sum, mut xy_sum, mut xx_sum) =
        (Kahan::default(), Kahan::default(), Kahan::default(), Kahan::default());
    for (time, y) in times.iter().zip(values) {
        let x = (time - origin) as f64 / 1e3;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    let count = values.len() as f64;
    let (x, y, xy, xx) = (x_sum.total(), y_sum.total(), xy_sum.total(), xx_sum.total());
    let slope = (xy - x * y / count) / (xx - x * x / count);
    (slope, y / count - slope * x / count)
}

/// `deriv`.
pub(crate) struct Derivative;

impl RangeFunction for Derivative {
    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        // The origin is near the samples so that their times stay small numbers.
        let &[origin, _, ..] = window.times() else { return Ok(None) };
        Ok(Some(line(window.times(), window.values(), origin).0))
    }
}

/// `predict_linear`.
pub(crate) struct Prediction {
    /// Seconds from now.
    pub(crate) ahead: Column,
}

impl RangeFunction for Prediction {
    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        if window.values().len() < 2 {
            return Ok(None);
        }
        let (slope, value_now) = line(window.times(), window.values(), window.now);
        Ok(Some(slope * self.ahead.at(window.step) + value_now))
    }
}

/// `double_exponential_smoothing` (<https://en.wikipedia.org/wiki/Exponential_smoothing>).
pub(crate) struct Smoothing {
    /// Weight of new values, between 0 and 1.
    pub(crate) smoothing: Column,
    /// Weight of the newest slope, between 0 and 1.
    pub(crate) trend: Column,
}

impl RangeFunction for Smoothing {
    fn value(&mut self, window: &Window<'_>) -> Result<Option<f64>, QueryError> {
        let (smoothing, trend) = (self.smoothing.at(window.step), self.trend.at(window.step));
        for (what, symbol, value) in [("smoothing", "sf", smoothing), ("trend", "tf", trend)] {
            if value <= 0.0 || value >= 1.0 {
                return Err(QueryError::Execution(format!(
                    "invalid {what} factor. Expected: 0 < {symbol} < 1, got: {}",
                    gofmt::fixed(value)
                )));
            }
        }
        let &[first, second, ..] = window.values() else { return Ok(None) };
        let (mut before, mut level, mut slope) = (0.0, first, second - first);
        for (index, value) in window.values().iter().enumerate().skip(1) {
            if index > 1 {
                slope = trend * (level - before) + (1.0 - trend) * slope;
            }
            let next = smoothing * value + (1.0 - smoothing) * (level + slope);
            (before, level) = (level, next);
        }
        Ok(Some(level))
    }
}
