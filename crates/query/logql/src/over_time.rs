//! The functions over the values of one window, in the order and with the roundings of the peer.

use novaobs_logql_parser::RangeOp;

use crate::cells::Stamp;

/// A value and when it was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// When.
    pub(crate) at: Stamp,
    /// What.
    pub(crate) value: f64,
}

/// Nanoseconds as seconds, rounded as Go does.
pub(crate) fn seconds(nanos: i64) -> f64 {
    (nanos / 1_000_000_000) as f64 + (nanos % 1_000_000_000) as f64 / 1e9
}

/// The result of a function over the samples of a window, which are in order of time and not none.
pub(crate) fn over(op: RangeOp, parameter: f64, range: i64, samples: &[Sample]) -> f64 {
    let values = samples.iter().map(|sample| sample.value);
    match op {
        RangeOp::CountOverTime => samples.len() as f64,
        RangeOp::SumOverTime | RangeOp::BytesOverTime => values.fold(0.0, |a, b| a + b),
        RangeOp::Rate | RangeOp::BytesRate => values.fold(0.0, |a, b| a + b) / seconds(range),
        RangeOp::RateCounter => rate_counter(range, samples),
        RangeOp::AvgOverTime => average(values),
        RangeOp::MinOverTime => {
            values.reduce(|a, b| if b < a || a.is_nan() { b } else { a }).unwrap_or(f64::NAN)
        }
        RangeOp::MaxOverTime => {
            values.reduce(|a, b| if b > a || a.is_nan() { b } else { a }).unwrap_or(f64::NAN)
        }
        RangeOp::StddevOverTime => variance(values).sqrt(),
        RangeOp::StdvarOverTime => variance(values),
        RangeOp::QuantileOverTime => quantile(parameter, &mut values.collect::<Vec<f64>>()),
        RangeOp::FirstOverTime => samples.first().map_or(f64::NAN, |sample| sample.value),
        RangeOp::LastOverTime => samples.last().map_or(f64::NAN, |sample| sample.value),
        RangeOp::AbsentOverTime => 1.0,
    }
}

fn average(values: impl Iterator<Item = f64>) -> f64 {
    let (mut mean, mut count) = (0.0f64, 0.0f64);
    for value in values {
        count += 1.0;
        if mean.is_infinite() && (value.is_infinite() && (mean > 0.0) == (value > 0.0) || value.is_finite()) {
            // An infinite mean stays what it is, whatever finite comes.
            continue;
        }
        mean += value / count - mean / count;
    }
    mean
}

fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut mean, mut squares) = (0.0f64, 0.0f64, 0.0f64);
    for value in values {
        count += 1.0;
        let delta = value - mean;
        mean += delta / count;
        squares += delta * (value - mean);
    }
    squares / count
}

/// The `phi`-quantile of some values, which are left in another order; interpolated linearly.
pub(crate) fn quantile(phi: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || phi.is_nan() {
        return f64::NAN;
    }
    if phi < 0.0 {
        return f64::NEG_INFINITY;
    }
    if phi > 1.0 {
        return f64::INFINITY;
    }
    // NaN stands before all numbers.
    let by_value = |a: &f64, b: &f64| match (a.is_nan(), b.is_nan()) {
        (true, true) => std::cmp::Ordering::Equal,
        (true, false) => std::cmp::Ordering::Less,
        (false, true) => std::cmp::Ordering::Greater,
        (false, false) => a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal),
    };
    let last = values.len() - 1;
    let rank = phi * last as f64;
    let lower = (rank.floor().max(0.0) as usize).min(last);
    let upper = (lower + 1).min(last);
    let (_, at_lower, above) = values.select_nth_unstable_by(lower, by_value);
    let at_lower = *at_lower;
    let at_upper =
        if upper == lower { at_lower } else { above.iter().copied().min_by(by_value).unwrap_or(at_lower) };
    let weight = rank - rank.floor();
    at_lower * (1.0 - weight) + at_upper * weight
}

/// The increase per second of a counter with resets. The peer extrapolates to the window's edges with the
/// window in thousands of what the samples' times are in, so that hardly anything is added; so do we.
fn rate_counter(range: i64, samples: &[Sample]) -> f64 {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return 0.0 };
    if samples.len() < 2 {
        return 0.0;
    }
    let mut increase = last.value - first.value;
    let mut previous = 0.0;
    for sample in samples {
        if sample.value < previous {
            increase += previous;
        }
        previous = sample.value;
    }
    let range_millis = range / 1_000_000;
    let mut to_start = range_millis as f64 / 1000.0;
    let sampled = last.at.time.wrapping_sub(first.at.time) as f64 / 1000.0;
    let between = sampled / (samples.len() - 1) as f64;
    if increase > 0.0 && first.value >= 0.0 {
        let to_zero = sampled * (first.value / increase);
        if to_zero < to_start {
            to_start = to_zero;
        }
    }
    let threshold = between * 1.1;
    let mut interval = sampled;
    interval += if to_start < threshold { to_start } else { between / 2.0 };
    // The last sample is the end of what is looked at.
    interval += if 0.0 < threshold { 0.0 } else { between / 2.0 };
    increase * (interval / sampled) / seconds(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Vec<Sample> {
        let at = |i: usize| Stamp { time: i as i64 * 10_000_000_000, place: i as u64 };
        values.iter().enumerate().map(|(i, value)| Sample { at: at(i), value: *value }).collect()
    }

    #[test]
    fn quantiles_interpolate() {
        assert_eq!(quantile(0.5, &mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(quantile(0.25, &mut [4.0, 1.0, 3.0, 2.0]), 1.75);
        assert_eq!(quantile(1.0, &mut [4.0, 1.0]), 4.0);
        assert_eq!(quantile(-0.1, &mut [4.0]), f64::NEG_INFINITY);
        assert_eq!(quantile(1.1, &mut [4.0]), f64::INFINITY);
        assert!(quantile(0.0, &mut [4.0, f64::NAN]).is_nan());
    }

    #[test]
    fn counters_add_what_was_before_a_reset() {
        let range = 100_000_000_000;
        assert_eq!(rate_counter(range, &samples(&[5.0])), 0.0);
        // 10 + 3 after the reset, over 30 s of samples stretched by next to nothing.
        let rate = rate_counter(range, &samples(&[0.0, 10.0, 0.0, 3.0]));
        assert!((rate - 0.13).abs() < 1e-6, "{rate}");
    }

    #[test]
    fn averages_survive_infinities() {
        assert_eq!(average([1.0, 2.0, 6.0].into_iter()), 3.0);
        assert_eq!(average([f64::INFINITY, 1.0].into_iter()), f64::INFINITY);
        assert!(average([f64::INFINITY, f64::NEG_INFINITY].into_iter()).is_nan());
    }
}
