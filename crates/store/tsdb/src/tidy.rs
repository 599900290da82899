//! Samples of one series from several places, brought in order.

use std::cmp::Ordering;

use novaobs_model::{Samples, is_stale};

/// Sorts `samples` by time and keeps one per time.
///
/// The store refuses a second value for one time where it sees the first; where it did not (the first was
/// already in a part), the larger value counts, and any value counts more than a staleness marker: a rule
/// that gives the same answer however parts were merged before.
pub(crate) fn tidy(samples: &mut Samples) {
    if samples.timestamps.is_sorted_by(|a, b| a < b) {
        return;
    }
    let mut all: Vec<(i64, f64)> = samples.iter().collect();
    all.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| rank(a.1, b.1).reverse()));
    all.dedup_by_key(|(time, _)| *time);
    samples.clear();
    for (time, value) in all {
        samples.push(time, value);
    }
}

fn rank(a: f64, b: f64) -> Ordering {
    is_stale(b).cmp(&is_stale(a)).then_with(|| a.total_cmp(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_and_keeps_one_per_time() {
        let stale = novaobs_model::stale_nan();
        let mut samples =
            Samples { timestamps: vec![3, 1, 3, 2, 2], values: vec![1.0, 5.0, 2.0, stale, 4.0] };
        tidy(&mut samples);
        assert_eq!((samples.timestamps, samples.values), (vec![1, 2, 3], vec![5.0, 4.0, 2.0]));
    }
}
